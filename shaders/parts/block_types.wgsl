// parts/block_types: weights in ggml's types with blocks, as `repack_blocks` left them. parts/types has the other types, by
// the same functions. value = factor * (q - offset) + plus, for whole numbers q; exact as the type defines it.
//
// `weights`: 16 bytes for each block of 32, as Q4_0 has them: word w has the four low bits of values 4w..4w+3 in its low
// nibbles and those of values 16+4w..16+4w+3 in its high ones. Q8_0: 32 bytes, values 4w..4w+3 in byte order, 128 added.
// `scales`, in words; d and m are f16, h are the bits above the nibbles, for all w (`low_of`, `high_of`):
//   Q8_0  two blocks: (d, d)                                   Q4_1  (d, m)
//   Q5_0  two blocks: (d, d), h, h                             Q5_1  (d, m), h
//   Q4_K  eight blocks: (d, m), four words of two blocks' bytes (factor, factor of m); Q5_K: then h of each
//   Q6_K  eight blocks: (d, 0), four words of two blocks' signed bytes (factor of values 0..15, of 16..31), then 2 h of each
// uses: TYPE, weights, scales from parts/linear or parts/embed

const Q4_1 = 4u;
const Q5_0 = 5u;
const Q5_1 = 6u;
const Q8_0 = 7u;
const Q4_K = 8u;
const Q5_K = 9u;
const Q6_K = 10u;

struct Factors { low: f32, high: f32, plus: f32 } // of values 0..15 of a block, of the others; for all of them

fn offset() -> f32 { return select(select(select(0.0, 16.0, TYPE == Q5_0), 32.0, TYPE == Q6_K), 128.0, TYPE == Q8_0); }

fn superblock(block: u32) -> u32 { return block / 8 * select(select(5u, 13u, TYPE == Q5_K), 21u, TYPE == Q6_K); }

// The words of `scales` that have a block's factors.
fn factor_words(block: u32) -> vec2u {
  if (TYPE == Q4_1) { return vec2u(scales[block], 0); }
  if (TYPE == Q5_1) { return vec2u(scales[2 * block], 0); }
  if (TYPE == Q5_0) { return vec2u(scales[block / 2 * 3] >> (16 * (block & 1)), 0); }
  if (TYPE == Q8_0) { return vec2u(scales[block / 2] >> (16 * (block & 1)), 0); }
  let at = superblock(block);
  return vec2u(scales[at], scales[at + 1 + block % 8 / 2] >> (16 * (block & 1)));
}

fn factors_of(words: vec2u) -> Factors {
  let d = unpack2x16float(words.x);
  if (TYPE == Q4_1 || TYPE == Q5_1) { return Factors(d.x, d.x, d.y); }
  if (TYPE == Q5_0 || TYPE == Q8_0) { return Factors(d.x, d.x, 0); }
  if (TYPE == Q6_K) {
    let two = vec2f(vec2i(vec2u(words.y << 24, words.y << 16)) >> vec2u(24)) * d.x;
    return Factors(two.x, two.y, 0);
  }
  let factor = f32(words.y & 255) * d.x;
  return Factors(factor, factor, -f32((words.y >> 8) & 255) * d.y);
}

// A block's bits above the nibbles; Q6_K has two words, for the low and for the high nibbles.
fn high_bits(block: u32) -> vec2u {
  if (TYPE == Q5_0) { return vec2u(scales[block / 2 * 3 + 1 + (block & 1)], 0); }
  if (TYPE == Q5_1) { return vec2u(scales[2 * block + 1], 0); }
  if (TYPE == Q5_K) { return vec2u(scales[superblock(block) + 5 + block % 8], 0); }
  if (TYPE == Q6_K) {
    let at = superblock(block) + 5 + block % 8 * 2;
    return vec2u(scales[at], scales[at + 1]);
  }
  return vec2u();
}

// The whole numbers of words w, a byte each: for values 4w..4w+3, and for 16+4w..16+4w+3. A shift and a mask bring the bits
// above the nibbles to where they belong.
fn low_of(words: vec4u, bits: vec2u, w: vec4u) -> vec4u {
  if (TYPE == Q8_0) { return words; }
  let low = words & vec4u(0x0f0f0f0f);
  if (TYPE == Q5_0 || TYPE == Q5_1 || TYPE == Q5_K) { return low | ((vec4u(bits.x) << (4 - w)) & vec4u(0x10101010)); }
  if (TYPE == Q6_K) { return low | two_bits(bits.x, w); }
  return low;
}

fn high_of(words: vec4u, bits: vec2u, w: vec4u) -> vec4u {
  let high = (words >> vec4u(4)) & vec4u(0x0f0f0f0f);
  if (TYPE == Q5_0 || TYPE == Q5_1 || TYPE == Q5_K) { return high | ((vec4u(bits.x) >> w) & vec4u(0x10101010)); }
  if (TYPE == Q6_K) { return high | two_bits(bits.y, w); }
  return high;
}

// Bits 8j+2w and 8j+2w+1 -> 8j+4 and 8j+5.
fn two_bits(bits: u32, w: vec4u) -> vec4u {
  return ((vec4u(bits) << (4 - min(2 * w, vec4u(4)))) >> (max(2 * w, vec4u(4)) - 4)) & vec4u(0x30303030);
}

fn in_bytes(word: u32) -> vec4f {
  return vec4f(bitcast<vec4i>(vec4u(word, word >> 8, word >> 16, word >> 24) & vec4u(255)));  // as in parts/types
}

// Eight w of block `block`, less its scale; `word` is its word w.
fn eight(block: u32, w: u32, word: u32) -> mat2x4f {
  var low = word;
  var high = word;
  if (TYPE == Q8_0) {
    low = weights[2 * block][w];
    high = weights[2 * block + 1][w];
  } else {
    let bits = high_bits(block);
    low = low_of(vec4u(word), bits, vec4u(w)).x;
    high = high_of(vec4u(word), bits, vec4u(w)).x;
  }
  if (has_scale()) { return mat2x4f(in_bytes(low) - offset(), in_bytes(high) - offset()); }
  let factors = factors_of(factor_words(block));
  return mat2x4f(factors.low * (in_bytes(low) - offset()) + factors.plus, factors.high * (in_bytes(high) - offset()) + factors.plus);
}

// The four words of a block that `eight` needs, or nothing.
fn words_of(block: u32) -> vec4u {
  if (TYPE == Q8_0) { return vec4u(); }
  return weights[block];
}

fn word_of(block: u32, w: u32) -> u32 {
  if (TYPE == Q8_0) { return 0; }
  return weights[block][w];
}

// Whether a block's values are whole numbers times one factor: it is then its scale, so that nothing is multiplied twice.
fn has_scale() -> bool { return TYPE == Q5_0 || TYPE == Q8_0; }

// What eights are multiplied by.
fn scale_of(block: u32) -> f32 {
  if (has_scale()) { return factors_of(factor_words(block)).low; }
  return 1;
}
