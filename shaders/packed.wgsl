// packed: Q4_0 by quads and 32 columns of x, as they are read and, as bytes, multiplied. For the kernels that say "with" it.
//
// Instructions are what a weight costs, not only its bytes, so they go by fours: x becomes whole numbers of 23 bits, to a
// power of two that its unit's largest value decides, cut into three bytes, and a byte of four columns meets four nibbles in
// one packed dot product. Those sums are exact; the rounding of x, 2^-23 of the unit's largest, is about what f32 sums lose.
// With nibbles n: sum (n - 8) x = sum n x - 8 sum x, so that nothing is subtracted from each weight.

struct Columns {                            // of words 0 to 3 of a unit: component i is of word i
  low0: vec4u, low1: vec4u, low2: vec4u,    // bytes 0, 1 and 2 of the four columns that its low nibbles meet
  high0: vec4u, high1: vec4u, high2: vec4u, // and its high ones
  minus: vec4i,                             // -8 times the sum of its columns
  scale: f32,
}

fn largest(a: mat4x4f) -> f32 {
  let most = max(max(abs(a[0]), abs(a[1])), max(abs(a[2]), abs(a[3])));
  return max(max(most.x, most.y), max(most.z, most.w));
}

// Whole numbers, by what adding 1.5 * 2^23 leaves in the mantissa.
fn whole(x: vec4f, scale: f32) -> vec4i { return bitcast<vec4i>(fma(x, vec4f(scale), vec4f(12582912))) - 0x4b400000; }

// Four whole numbers' lowest three bytes, each byte's four together.
fn bytes(x: vec4i) -> vec3u {
  let u = bitcast<vec4u>(x);
  let even = vec2u(0x00ff00ff);
  let low = (u.xz & even) | ((u.yw << vec2u(8)) & ~even);          // bytes 0, 0', 2, 2' of two numbers
  let high = ((u.xz >> vec2u(8)) & even) | (u.yw & ~even);         // bytes 1, 1', 3, 3'
  return vec3u((low.x & 0xffff) | (low.y << 16), (high.x & 0xffff) | (high.y << 16), (low.x >> 16) | (low.y & 0xffff0000));
}

fn sum_of(x: vec4i) -> i32 { return x.x + x.y + x.z + x.w; }

// Column i of `low` and `high` is word i's.
fn packed_columns(low: mat4x4f, high: mat4x4f) -> Columns {
  // The largest value's exponent; |x| * scale is below 2^22.
  let exponent = max(bitcast<u32>(max(largest(low), largest(high))) >> 23, 30);
  let scale = bitcast<f32>((275 - exponent) << 23);
  let a = whole(low[0], scale);
  let b = whole(low[1], scale);
  let c = whole(low[2], scale);
  let d = whole(low[3], scale);
  let e = whole(high[0], scale);
  let f = whole(high[1], scale);
  let g = whole(high[2], scale);
  let h = whole(high[3], scale);
  let lows = transpose_bytes(bytes(a), bytes(b), bytes(c), bytes(d));
  let highs = transpose_bytes(bytes(e), bytes(f), bytes(g), bytes(h));
  return Columns(lows.bytes0, lows.bytes1, lows.bytes2, highs.bytes0, highs.bytes1, highs.bytes2,
                 -8 * vec4i(sum_of(a + e), sum_of(b + f), sum_of(c + g), sum_of(d + h)), bitcast<f32>((exponent - 21) << 23));
}

struct Bytes { bytes0: vec4u, bytes1: vec4u, bytes2: vec4u }

fn transpose_bytes(a: vec3u, b: vec3u, c: vec3u, d: vec3u) -> Bytes {
  return Bytes(vec4u(a.x, b.x, c.x, d.x), vec4u(a.y, b.y, c.y, d.y), vec4u(a.z, b.z, c.z, d.z));
}

// One word's eight columns. Nothing is indexed by a parameter, as Tint guards every such index.
fn with_word(word: u32, low0: u32, low1: u32, low2: u32, high0: u32, high1: u32, high2: u32, minus: i32) -> f32 {
  let low = word & 0x0f0f0f0f;
  let high = (word >> 4) & 0x0f0f0f0f;
  let sum2 = dot4I8Packed(low, low2) + dot4I8Packed(high, high2);
  let sum1 = i32(dot4U8Packed(low, low1) + dot4U8Packed(high, high1));
  let sum0 = i32(dot4U8Packed(low, low0) + dot4U8Packed(high, high0));
  return f32(sum2 * 65536 + sum1 * 256 + sum0 + minus);
}

// A unit's words, with their blocks' scales, and its columns of x.
fn packed_product(words: vec4u, scale: vec2u, x: Columns) -> f32 {
  let scales_of = vec4f(unpack2x16float(scale.x), unpack2x16float(scale.y));
  return x.scale * dot(scales_of, vec4f(
    with_word(words.x, x.low0.x, x.low1.x, x.low2.x, x.high0.x, x.high1.x, x.high2.x, x.minus.x),
    with_word(words.y, x.low0.y, x.low1.y, x.low2.y, x.high0.y, x.high1.y, x.high2.y, x.minus.y),
    with_word(words.z, x.low0.z, x.low1.z, x.low2.z, x.high0.z, x.high1.z, x.high2.z, x.minus.z),
    with_word(words.w, x.low0.w, x.low1.w, x.low2.w, x.high0.w, x.high1.w, x.high2.w, x.minus.w)));
}

struct Four {                               // output rows' words and scales of a unit
  a: vec4u, b: vec4u, c: vec4u, d: vec4u,
  scale_a: vec2u, scale_b: vec2u, scale_c: vec2u, scale_d: vec2u,
}

// Where the four output rows from `pair` on begin, in units.
fn four_starts(pair: u32, blocks: u32) -> vec4u {
  return vec4u(pair_rows(min(pair, last_pair())), pair_rows(min(pair + 1, last_pair()))) * blocks;
}

fn four_rows(starts: vec4u, unit: u32) -> Four {
  let at = starts + unit;
  return Four(weights[at.x], weights[at.y], weights[at.z], weights[at.w],
              scales[at.x / 4], scales[at.y / 4], scales[at.z / 4], scales[at.w / 4]);
}

struct UnitOfX {                            // times gain: column i is of word i's low nibbles, and of its high ones
  low: mat4x4f, high: mat4x4f,
  squares: f32,                             // the sum of them without gain, with NORM
}

fn unit_of_x(m: u32, unit: u32) -> UnitOfX {
  let at = (unit & ~3u) * 8 + unit % 4;
  let of_x = m * (columns() / 4) + at;
  let low = mat4x4f(x[of_x], x[of_x + 8], x[of_x + 16], x[of_x + 24]);
  let high = mat4x4f(x[of_x + 4], x[of_x + 12], x[of_x + 20], x[of_x + 28]);
  if (!NORM) { return UnitOfX(low, high, 0); }
  return UnitOfX(
    mat4x4f(low[0] * gain[at], low[1] * gain[at + 8], low[2] * gain[at + 16], low[3] * gain[at + 24]),
    mat4x4f(high[0] * gain[at + 4], high[1] * gain[at + 12], high[2] * gain[at + 20], high[3] * gain[at + 28]),
    dot(low[0], low[0]) + dot(low[1], low[1]) + dot(low[2], low[2]) + dot(low[3], low[3])
    + dot(high[0], high[0]) + dot(high[1], high[1]) + dot(high[2], high[2]) + dot(high[3], high[3]));
}
