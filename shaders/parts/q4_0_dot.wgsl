// parts/q4_0_dot: a block of Q4_0 times its 32 columns of x: in f32, or by bytes. `parts/blocks_dot` has the other types.
//
// With nibbles n: sum (n - 8) x = sum n x - 8 sum x, so that nothing is subtracted from each weight.
// uses: weights from parts/linear; scale_of from parts/types; bytes from parts/dot; PACKED, kept, scale_of_kept from
// parts/linear_staged

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

fn four_rows(starts: vec4u, block: u32) -> Four {
  let at = starts + block;
  return Four(weights[at.x], weights[at.y], weights[at.z], weights[at.w],
              vec4f(scale_of(at.x), scale_of(at.y), scale_of(at.z), scale_of(at.w)));
}

// A kept block with PACKED: bytes 0, 1 and 2 of the columns for low nibbles, then of those for high nibbles, where
// component w belongs to word w; and in [6], -8 times each word's sum. Without PACKED: the columns by fours, and in [8],
// -8 times each word's sum.
fn keep_bytes(slot: u32, w: u32, low: vec4i, high: vec4i, scale: f32) {
  let low_bytes = bytes(low);
  let high_bytes = bytes(high);
  let sum = low + high;
  kept[slot][0][w] = low_bytes.x;
  kept[slot][1][w] = low_bytes.y;
  kept[slot][2][w] = low_bytes.z;
  kept[slot][3][w] = high_bytes.x;
  kept[slot][4][w] = high_bytes.y;
  kept[slot][5][w] = high_bytes.z;
  kept[slot][6][w] = bitcast<u32>(-8 * (sum.x + sum.y + sum.z + sum.w));
  if (w == 0) { scale_of_kept[slot] = scale; }
}

fn keep_floats(slot: u32, w: u32, low: vec4f, high: vec4f) {
  kept[slot][w] = bitcast<vec4u>(low);
  kept[slot][w + 4] = bitcast<vec4u>(high);
  kept[slot][8][w] = bitcast<u32>(-8 * dot(vec4f(1), low + high));
}

// A kept block as it is multiplied by four rows' weights.
struct Block { bytes: Bytes, floats: Floats }

fn block_of(slot: u32) -> Block {
  var block: Block;
  if (PACKED) {
    let minus = bitcast<vec4i>(kept[slot][6]);
    block.bytes = Bytes(kept[slot][0], kept[slot][1], kept[slot][2], kept[slot][3], kept[slot][4], kept[slot][5],
                        minus.x + minus.y + minus.z + minus.w, scale_of_kept[slot]);
  } else {
    block.floats = Floats(mat4x4f(bitcast<vec4f>(kept[slot][0]), bitcast<vec4f>(kept[slot][1]),
                                  bitcast<vec4f>(kept[slot][2]), bitcast<vec4f>(kept[slot][3])),
                          mat4x4f(bitcast<vec4f>(kept[slot][4]), bitcast<vec4f>(kept[slot][5]),
                                  bitcast<vec4f>(kept[slot][6]), bitcast<vec4f>(kept[slot][7])),
                          dot(vec4f(1), bitcast<vec4f>(kept[slot][8])));
  }
  return block;
}

fn product(words: vec4u, block: Block) -> f32 {
  if (PACKED) { return packed_product(words, block.bytes); }
  return float_product(words, block.floats);
}

fn products(four: Four, block: Block) -> vec4f {
  return four.scales * vec4f(product(four.a, block), product(four.b, block), product(four.c, block), product(four.d, block));
}
