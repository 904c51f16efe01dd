// parts/blocks_dot: a block of parts/block_types times its 32 columns of x: in f32, or by bytes. `parts/q4_0_dot` has Q4_0,
// by the same functions.
//
// With whole numbers q: sum (factor (q - offset) + plus) x = factor (sum q x - offset sum x) + plus sum x. The sums of
// products are of bytes: those with byte 2 of x, which is signed, have q signed too, and the others do not. So Q8_0, whose q
// need all of a byte, has q - 128 in the former and q in the latter; there, the sum of x is that of its other two bytes.
// uses: TYPE, weights from parts/linear; Q8_0, factor_words, factors_of, high_bits, low_of, high_of, in_bytes,
// offset from parts/block_types; bytes from parts/dot; PACKED, kept, scale_of_kept from parts/linear_staged

struct Floats {
  low: mat4x4f, high: mat4x4f,              // column w: for word w's low numbers, and for its high ones
  sum: f32,                                 // of all columns
}

struct Bytes {
  low0: vec4u, low1: vec4u, low2: vec4u,    // bytes 0, 1, 2 of x for low numbers; component w: word w's
  high0: vec4u, high1: vec4u, high2: vec4u, // the same for high numbers
  low_sum: f32, high_sum: f32,              // of all columns
  scale: f32,                               // the value of whole number 1
}

// A kept block as it is multiplied by four rows' weights.
struct Block { bytes: Bytes, floats: Floats }

// With PACKED: bytes 0, 1 and 2 of the columns for low numbers, then of those for high ones, where component w belongs to
// word w; in [6] and [7] each word's sums. Without PACKED: the columns by fours, and in [8] each word's sum.
fn keep_bytes(slot: u32, w: u32, low: vec4i, high: vec4i, scale: f32) {
  let low_bytes = bytes(low);
  let high_bytes = bytes(high);
  let kept_bits = select(vec4i(-1), vec4i(0xffff), TYPE == Q8_0);
  let low_sum = low & kept_bits;
  let high_sum = high & kept_bits;
  kept[slot][0][w] = low_bytes.x;
  kept[slot][1][w] = low_bytes.y;
  kept[slot][2][w] = low_bytes.z;
  kept[slot][3][w] = high_bytes.x;
  kept[slot][4][w] = high_bytes.y;
  kept[slot][5][w] = high_bytes.z;
  kept[slot][6][w] = bitcast<u32>(low_sum.x + low_sum.y + low_sum.z + low_sum.w);
  kept[slot][7][w] = bitcast<u32>(high_sum.x + high_sum.y + high_sum.z + high_sum.w);
  if (w == 0) { scale_of_kept[slot] = scale; }
}

fn keep_floats(slot: u32, w: u32, low: vec4f, high: vec4f) {
  kept[slot][w] = bitcast<vec4u>(low);
  kept[slot][w + 4] = bitcast<vec4u>(high);
  kept[slot][8][w] = bitcast<u32>(dot(vec4f(1), low + high));
}

fn block_of(slot: u32) -> Block {
  var block: Block;
  if (PACKED) {
    let low = bitcast<vec4i>(kept[slot][6]);
    let high = bitcast<vec4i>(kept[slot][7]);
    block.bytes = Bytes(kept[slot][0], kept[slot][1], kept[slot][2], kept[slot][3], kept[slot][4], kept[slot][5],
                        f32(low.x + low.y + low.z + low.w), f32(high.x + high.y + high.z + high.w), scale_of_kept[slot]);
  } else {
    block.floats = Floats(mat4x4f(bitcast<vec4f>(kept[slot][0]), bitcast<vec4f>(kept[slot][1]),
                                  bitcast<vec4f>(kept[slot][2]), bitcast<vec4f>(kept[slot][3])),
                          mat4x4f(bitcast<vec4f>(kept[slot][4]), bitcast<vec4f>(kept[slot][5]),
                                  bitcast<vec4f>(kept[slot][6]), bitcast<vec4f>(kept[slot][7])),
                          dot(vec4f(1), bitcast<vec4f>(kept[slot][8])));
  }
  return block;
}

// A block of an output row: its words; Q8_0's second half, or the bits above the nibbles; what has its factors.
struct Row { words: vec4u, more: vec4u, factors: vec2u }
struct Four { a: Row, b: Row, c: Row, d: Row }

fn row_of(block: u32) -> Row {
  if (TYPE == Q8_0) { return Row(weights[2 * block], weights[2 * block + 1], factor_words(block)); }
  return Row(weights[block], vec4u(high_bits(block), 0, 0), factor_words(block));
}

fn four_rows(starts: vec4u, block: u32) -> Four {
  let at = starts + block;
  return Four(row_of(at.x), row_of(at.y), row_of(at.z), row_of(at.w));
}

// The sum of 16 products, for whole numbers of x; q may be signed with byte 2, see above.
fn sum_of_bytes(q: vec4u, x0: vec4u, x1: vec4u, x2: vec4u) -> f32 {
  var signed = q;
  if (TYPE == Q8_0) { signed = q ^ vec4u(0x80808080); }
  let sum2 = dot4I8Packed(signed.x, x2.x) + dot4I8Packed(signed.y, x2.y) + dot4I8Packed(signed.z, x2.z) + dot4I8Packed(signed.w, x2.w);
  let sum1 = dot4U8Packed(q.x, x1.x) + dot4U8Packed(q.y, x1.y) + dot4U8Packed(q.z, x1.z) + dot4U8Packed(q.w, x1.w);
  let sum0 = dot4U8Packed(q.x, x0.x) + dot4U8Packed(q.y, x0.y) + dot4U8Packed(q.z, x0.z) + dot4U8Packed(q.w, x0.w);
  return f32(sum2) * 65536 + f32(sum1 * 256 + sum0);
}

fn sum_of_floats(q: vec4u, x: mat4x4f) -> f32 {
  return dot(in_bytes(q.x) - offset(), x[0]) + dot(in_bytes(q.y) - offset(), x[1])
       + dot(in_bytes(q.z) - offset(), x[2]) + dot(in_bytes(q.w) - offset(), x[3]);
}

fn product(row: Row, block: Block) -> f32 {
  let factors = factors_of(row.factors);
  let w = vec4u(0, 1, 2, 3);
  let low = low_of(row.words, row.more.xy, w);
  var high = row.more;
  if (TYPE != Q8_0) { high = high_of(row.words, row.more.xy, w); }
  if (PACKED) {
    let x = block.bytes;
    let low_sum = sum_of_bytes(low, x.low0, x.low1, x.low2) - offset() * x.low_sum;
    let high_sum = sum_of_bytes(high, x.high0, x.high1, x.high2) - offset() * x.high_sum;
    return x.scale * (factors.low * low_sum + factors.high * high_sum + factors.plus * (x.low_sum + x.high_sum));
  }
  let x = block.floats;
  return factors.low * sum_of_floats(low, x.low) + factors.high * sum_of_floats(high, x.high) + factors.plus * x.sum;
}

fn products(four: Four, block: Block) -> vec4f {
  return vec4f(product(four.a, block), product(four.b, block), product(four.c, block), product(four.d, block));
}
