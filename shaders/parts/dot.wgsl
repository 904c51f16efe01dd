// parts/dot: x on its way to packed dot products.
//
// Instructions limit too, not only bytes, so weights are multiplied four at once. x becomes whole numbers of 23 bits, by a
// power of two that its block's largest value decides. They are cut into three bytes, and a byte of four columns meets
// four weights in one packed dot product. These sums are exact; the rounding of x, 2^-23 of the block's largest, is about
// what f32 sums lose.
// uses: pair_rows, last_pair from parts/linear

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

// Where the four output rows of `pair` and the next one begin, in blocks.
fn four_starts(pair: u32, blocks: u32) -> vec4u {
  return vec4u(pair_rows(min(pair, last_pair())), pair_rows(min(pair + 1, last_pair()))) * blocks;
}
