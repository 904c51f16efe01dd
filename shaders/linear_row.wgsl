// with gelu product
// linear_row: the product for one row of x, Q4_0 by quads only: a live decoder step. See `product` for what it makes.
//
// A workgroup makes OUTPUTS output rows. Each invocation takes every WORKGROUP-th unit of 32 columns: it reads that part
// of x once, into registers, then goes through the rows by fours, the next four's weights on their way while it multiplies.
// The invocations' sums meet in workgroup memory, first by eights. Grid: x, y over OUTPUTS rows.
//
// Instructions, not bytes, are what a weight costs, so with PACKED they go by fours: x becomes whole numbers of 23 bits,
// to a power of two that its unit's largest value decides, cut into three bytes, and a byte of four columns meets four
// nibbles in one packed dot product. Those sums are exact; the rounding of x, 2^-23 of the unit's largest, is about what f32 sums lose.
// With nibbles n: sum (n - 8) x = sum n x - 8 sum x, so that nothing is subtracted from each weight. Without PACKED, all
// this in f32: not every adapter has an instruction for packed dot products.
// No private array and no loop over one: see `linear`.

override WORKGROUP: u32 = 96;
override OUTPUTS: u32 = 16;                 // a multiple of 4
override PACKED: bool = true;
override LINE: u32 = WORKGROUP + 1;         // words of a sum's line: banks do not collide
override EIGHTHS: u32 = (WORKGROUP + 7) / 8;

var<workgroup> partial: array<f32, (OUTPUTS + 1) * LINE>;          // the last line is for squares
var<workgroup> eighths: array<f32, (OUTPUTS + 1) * EIGHTHS>;

struct Four {                               // output rows' words and scales of a unit
  a: vec4u, b: vec4u, c: vec4u, d: vec4u,
  scale_a: vec2u, scale_b: vec2u, scale_c: vec2u, scale_d: vec2u,
}

struct Columns {                            // a unit's part of x, times gain: of word i's low nibbles, and of its high ones
  low_bytes0: vec3u, low_bytes1: vec3u, low_bytes2: vec3u, low_bytes3: vec3u,       // bytes 0, 1 and 2 of four columns
  high_bytes0: vec3u, high_bytes1: vec3u, high_bytes2: vec3u, high_bytes3: vec3u,
  minus: vec4i,                             // -8 times each word's sum
  scale: f32,
  low: mat4x4f, high: mat4x4f,              // without PACKED: the columns themselves
  minus_f32: vec4f,
}

fn four_rows(pair: u32, last_pair: u32, blocks: u32, unit: u32) -> Four {
  let starts = vec4u(pair_rows(min(pair, last_pair)), pair_rows(min(pair + 1, last_pair))) * blocks + unit;
  return Four(weights[starts.x], weights[starts.y], weights[starts.z], weights[starts.w],
              scales[starts.x / 4], scales[starts.y / 4], scales[starts.z / 4], scales[starts.w / 4]);
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

fn columns(low: mat4x4f, high: mat4x4f) -> Columns {
  if (!PACKED) {
    let none = vec3u();
    let ones = vec4f(1);
    return Columns(none, none, none, none, none, none, none, none, vec4i(), 1, low, high, -8 * (ones * low + ones * high));
  }
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
  return Columns(bytes(a), bytes(b), bytes(c), bytes(d), bytes(e), bytes(f), bytes(g), bytes(h),
                 -8 * vec4i(sum_of(a + e), sum_of(b + f), sum_of(c + g), sum_of(d + h)),
                 bitcast<f32>((exponent - 21) << 23), low, high, vec4f());
}

// One word's eight columns: bytes 0, 1 and 2 of those that the low nibbles meet, and of the others. Nothing is indexed by a
// parameter, as Tint guards every such index.
fn with_word(word: u32, low_bytes: vec3u, high_bytes: vec3u, minus: i32) -> f32 {
  let low = word & 0x0f0f0f0f;
  let high = (word >> 4) & 0x0f0f0f0f;
  let sum2 = dot4I8Packed(low, low_bytes.z) + dot4I8Packed(high, high_bytes.z);
  let sum1 = i32(dot4U8Packed(low, low_bytes.y) + dot4U8Packed(high, high_bytes.y));
  let sum0 = i32(dot4U8Packed(low, low_bytes.x) + dot4U8Packed(high, high_bytes.x));
  return f32(sum2 * 65536 + sum1 * 256 + sum0 + minus);
}

fn in_f32(word: u32, low: vec4f, high: vec4f) -> f32 {
  return dot(vec4f(vec4u(word, word >> 8, word >> 16, word >> 24) & vec4u(15)), low)
       + dot(vec4f(vec4u(word >> 4, word >> 12, word >> 20, word >> 28) & vec4u(15)), high);
}

fn product(words: vec4u, scale: vec2u, x: Columns) -> f32 {
  let scales_of = vec4f(unpack2x16float(scale.x), unpack2x16float(scale.y));
  if (!PACKED) {
    return dot(scales_of, x.minus_f32 + vec4f(in_f32(words.x, x.low[0], x.high[0]), in_f32(words.y, x.low[1], x.high[1]),
                                              in_f32(words.z, x.low[2], x.high[2]), in_f32(words.w, x.low[3], x.high[3])));
  }
  return x.scale * dot(scales_of, vec4f(with_word(words.x, x.low_bytes0, x.high_bytes0, x.minus.x),
                                        with_word(words.y, x.low_bytes1, x.high_bytes1, x.minus.y),
                                        with_word(words.z, x.low_bytes2, x.high_bytes2, x.minus.z),
                                        with_word(words.w, x.low_bytes3, x.high_bytes3, x.minus.w)));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let last_pair = (params.outputs + 1) / 2 - 1;
  let first_pair = (group.x + group.y * groups.x) * (OUTPUTS / 2);
  let blocks = params.columns / 32;
  var squares = 0.0;
  for (var unit = lane; unit < blocks; unit += WORKGROUP) {
    var next = four_rows(first_pair, last_pair, blocks, unit);
    let at = (unit & ~3u) * 8 + unit % 4;
    var low = mat4x4f(x[at], x[at + 8], x[at + 16], x[at + 24]);
    var high = mat4x4f(x[at + 4], x[at + 12], x[at + 20], x[at + 28]);
    if (NORM) {
      squares += dot(low[0], low[0]) + dot(low[1], low[1]) + dot(low[2], low[2]) + dot(low[3], low[3])
               + dot(high[0], high[0]) + dot(high[1], high[1]) + dot(high[2], high[2]) + dot(high[3], high[3]);
      low = mat4x4f(low[0] * gain[at], low[1] * gain[at + 8], low[2] * gain[at + 16], low[3] * gain[at + 24]);
      high = mat4x4f(high[0] * gain[at + 4], high[1] * gain[at + 12], high[2] * gain[at + 20], high[3] * gain[at + 28]);
    }
    let part = columns(low, high);
    for (var row = 0u; row < OUTPUTS; row += 4u) {
      let four = next;
      next = four_rows(first_pair + min(row + 4, OUTPUTS - 4) / 2, last_pair, blocks, unit);
      let sums = vec4f(product(four.a, four.scale_a, part), product(four.b, four.scale_b, part),
                       product(four.c, four.scale_c, part), product(four.d, four.scale_d, part));
      let line = row * LINE + lane;
      if (unit == lane) {
        partial[line] = sums.x;
        partial[line + LINE] = sums.y;
        partial[line + 2 * LINE] = sums.z;
        partial[line + 3 * LINE] = sums.w;
      } else {
        partial[line] += sums.x;
        partial[line + LINE] += sums.y;
        partial[line + 2 * LINE] += sums.z;
        partial[line + 3 * LINE] += sums.w;
      }
    }
  }
  if (NORM) { partial[OUTPUTS * LINE + lane] = squares; }
  workgroupBarrier();

  let used = min(WORKGROUP, blocks);        // invocations that had a unit
  for (var i = lane; i < (OUTPUTS + 1) * EIGHTHS; i += WORKGROUP) {
    let lead = i % EIGHTHS * 8;
    let line = i / EIGHTHS * LINE;
    var sum = 0.0;
    if (lead + 7 < used) {
      let at = line + lead;
      sum = partial[at] + partial[at + 1] + partial[at + 2] + partial[at + 3]
          + partial[at + 4] + partial[at + 5] + partial[at + 6] + partial[at + 7];
    } else {
      for (var j = lead; j < used; j++) { sum += partial[line + j]; }
    }
    eighths[i] = sum;
  }
  workgroupBarrier();
  for (var pair = lane; pair < OUTPUTS / 2; pair += WORKGROUP) {
    var sums = vec3f();
    for (var i = 0u; i < EIGHTHS; i++) {
      sums += vec3f(eighths[2 * pair * EIGHTHS + i], eighths[(2 * pair + 1) * EIGHTHS + i], eighths[OUTPUTS * EIGHTHS + i]);
    }
    finish(first_pair + pair, 0, sums.xy, sums.z);
  }
}
