// parts/types: weights in F32, F16 and BF16, as in the file, and in Q4_0, as `repack_q4_0` left it: nibbles in `weights`,
// two f16 scales a word in `scales`. parts/block_types has the other types, by the same functions.
// A matrix is a run of blocks of 32 columns. A block's values come by eights, w = 0..3: 4w..4w+3 and 16+4w..16+4w+3.
// uses: TYPE, weights, scales from parts/linear or parts/embed

fn halves(words: vec2u) -> vec4f {
  if (TYPE == 1) { return vec4f(unpack2x16float(words.x), unpack2x16float(words.y)); }
  return bitcast<vec4f>(vec4u(words.x << 16, words.x & 0xffff0000, words.y << 16, words.y & 0xffff0000));
}

// Eight w of a block, without the scale: Q4_0 keeps all of it in word w. Processors have an instruction that makes floats of
// signed whole numbers, and most have none for unsigned ones.
fn from_nibbles(word: u32) -> mat2x4f {
  let low = vec4u(word, word >> 8, word >> 16, word >> 24) & vec4u(15);
  let high = vec4u(word >> 4, word >> 12, word >> 20, word >> 28) & vec4u(15);
  return mat2x4f(vec4f(bitcast<vec4i>(low)) - 8, vec4f(bitcast<vec4i>(high)) - 8);
}

// Eight w of block `block`, less its scale; `word` is its word w.
fn eight(block: u32, w: u32, word: u32) -> mat2x4f {
  if (TYPE == 3) { return from_nibbles(word); }
  return from_floats(block, w);
}

fn from_floats(block: u32, w: u32) -> mat2x4f {
  if (TYPE == 0) {
    return mat2x4f(bitcast<vec4f>(weights[block * 8 + w]), bitcast<vec4f>(weights[block * 8 + 4 + w]));
  }
  let early = weights[block * 4 + w / 2];
  let late = weights[block * 4 + 2 + w / 2];
  if (w % 2 == 0) { return mat2x4f(halves(early.xy), halves(late.xy)); }
  return mat2x4f(halves(early.zw), halves(late.zw));
}

// The four words of a block that `eight` needs, or nothing.
fn words_of(block: u32) -> vec4u {
  if (TYPE == 3) { return weights[block]; }
  return vec4u();
}

fn word_of(block: u32, w: u32) -> u32 {
  if (TYPE == 3) { return weights[block][w]; }
  return 0;
}

// What eights are multiplied by.
fn scale_of(block: u32) -> f32 {
  if (TYPE == 3) { return unpack2x16float(scales[block / 2] >> (16 * (block & 1))).x; }
  return 1;
}
