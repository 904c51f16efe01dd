// parts/q4_0_dot: a block of Q4_0 times its 32 columns of x: in f32, or by bytes.
//
// Instructions limit too, not only bytes, so packed_product multiplies four weights at once. x becomes whole numbers
// of 23 bits, by a power of two that its block's largest value decides. They are cut into three bytes, and a byte of
// four columns meets four nibbles in one packed dot product. These sums are exact; the rounding of x, 2^-23 of the
// block's largest, is about what f32 sums lose. With nibbles n: sum (n - 8) x = sum n x - 8 sum x, so that nothing is
// subtracted from each weight.
// uses: weights, scale_of, pair_rows, last_pair from parts/linear

struct Floats {
  low: mat4x4f, high: mat4x4f,              // column w: for word w's low nibbles, and for its high ones
  minus: f32,                               // -8 times the sum of all columns
}

struct Bytes {
  low0: vec4u, low1: vec4u, low2: vec4u,    // bytes 0, 1, 2 of x for low nibbles; component w: word w's
  high0: vec4u, high1: vec4u, high2: vec4u, // the same for high nibbles
  minus: i32,
  scale: f32,                               // the value of whole number 1
}

fn in_f32(word: u32, low: vec4f, high: vec4f) -> f32 {
  return dot(vec4f(vec4u(word, word >> 8, word >> 16, word >> 24) & vec4u(15)), low)
       + dot(vec4f(vec4u(word >> 4, word >> 12, word >> 20, word >> 28) & vec4u(15)), high);
}

// A block's nibbles, less eight, times its columns.
fn float_product(words: vec4u, x: Floats) -> f32 {
  return x.minus
       + in_f32(words.x, x.low[0], x.high[0]) + in_f32(words.y, x.low[1], x.high[1])
       + in_f32(words.z, x.low[2], x.high[2]) + in_f32(words.w, x.low[3], x.high[3]);
}

fn largest(low: vec4f, high: vec4f) -> f32 {
  let most = max(abs(low), abs(high));
  return max(max(most.x, most.y), max(most.z, most.w));
}

struct Scale { to_whole: f32, of_whole: f32 }

// Powers of two that make values up to `most` whole numbers below 2^22, and back: 32 products with nibbles stay below
// 2^31.
fn scale_for(most: f32) -> Scale {
  let exponent = max(bitcast<u32>(most) >> 23, 30);
  return Scale(bitcast<f32>((275 - exponent) << 23), bitcast<f32>((exponent - 21) << 23));
}

// x times scale as whole numbers: adding 1.5 * 2^23 leaves them in the mantissa.
fn whole(x: vec4f, scale: f32) -> vec4i { return bitcast<vec4i>(fma(x, vec4f(scale), vec4f(12582912))) - 0x4b400000; }

// The lowest three bytes of four whole numbers: all bytes 0 in a word, all bytes 1, all bytes 2.
fn bytes(x: vec4i) -> vec3u {
  let u = bitcast<vec4u>(x);
  let even = vec2u(0x00ff00ff);
  let low = (u.xz & even) | ((u.yw << vec2u(8)) & ~even);          // bytes 0, 0', 2, 2' of two numbers
  let high = ((u.xz >> vec2u(8)) & even) | (u.yw & ~even);         // bytes 1, 1', 3, 3'
  return vec3u((low.x & 0xffff) | (low.y << 16), (high.x & 0xffff) | (high.y << 16), (low.x >> 16) | (low.y & 0xffff0000));
}

// The same as float_product, by bytes. Nothing is indexed by a parameter, as Tint guards every such index.
fn packed_product(words: vec4u, x: Bytes) -> f32 {
  let low = words & vec4u(0x0f0f0f0f);
  let high = (words >> vec4u(4)) & vec4u(0x0f0f0f0f);
  let sum2 = dot4I8Packed(low.x, x.low2.x) + dot4I8Packed(low.y, x.low2.y) + dot4I8Packed(low.z, x.low2.z) + dot4I8Packed(low.w, x.low2.w)
           + dot4I8Packed(high.x, x.high2.x) + dot4I8Packed(high.y, x.high2.y) + dot4I8Packed(high.z, x.high2.z) + dot4I8Packed(high.w, x.high2.w);
  let sum1 = dot4U8Packed(low.x, x.low1.x) + dot4U8Packed(low.y, x.low1.y) + dot4U8Packed(low.z, x.low1.z) + dot4U8Packed(low.w, x.low1.w)
           + dot4U8Packed(high.x, x.high1.x) + dot4U8Packed(high.y, x.high1.y) + dot4U8Packed(high.z, x.high1.z) + dot4U8Packed(high.w, x.high1.w);
  let sum0 = dot4U8Packed(low.x, x.low0.x) + dot4U8Packed(low.y, x.low0.y) + dot4U8Packed(low.z, x.low0.z) + dot4U8Packed(low.w, x.low0.w)
           + dot4U8Packed(high.x, x.high0.x) + dot4U8Packed(high.y, x.high0.y) + dot4U8Packed(high.z, x.high0.z) + dot4U8Packed(high.w, x.high0.w);
  return x.scale * f32(sum2 * 65536 + i32(sum1 * 256 + sum0) + x.minus);
}

// A block of four output rows: its words and its scales.
struct Four { a: vec4u, b: vec4u, c: vec4u, d: vec4u, scales: vec4f }

// Where the four output rows of `pair` and the next one begin, in blocks.
fn four_starts(pair: u32, blocks: u32) -> vec4u {
  return vec4u(pair_rows(min(pair, last_pair())), pair_rows(min(pair + 1, last_pair()))) * blocks;
}

fn four_rows(starts: vec4u, block: u32) -> Four {
  let at = starts + block;
  return Four(weights[at.x], weights[at.y], weights[at.z], weights[at.w],
              vec4f(scale_of(at.x), scale_of(at.y), scale_of(at.z), scale_of(at.w)));
}
