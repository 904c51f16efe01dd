// repack_blocks: a file's blocks, as ggml has them -> `weights` and `scales`, as parts/block_types describes them. While
// loading.
//
// raw: whole blocks, from an even one on (of the K types whole superblocks of 8 blocks, 256 values); both outputs from
// first_block on. Grid: x, y over pairs of blocks, or over superblocks. All places in raw are even. Precision: exact.

override WORKGROUP: u32 = 64;
override TYPE: u32 = 4;                     // 4 Q4_1, 5 Q5_0, 6 Q5_1, 7 Q8_0, 8 Q4_K, 9 Q5_K, 10 Q6_K

struct Params { blocks: u32, first_block: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> raw: array<u32>;
@group(0) @binding(2) var<storage, read_write> weights: array<u32>;
@group(0) @binding(3) var<storage, read_write> scales: array<u32>;

fn half_at(at: u32) -> u32 { return (raw[at / 4] >> (at % 4 * 8)) & 0xffff; }

fn word_at(at: u32) -> u32 { return half_at(at) | (half_at(at + 2) << 16); }

fn byte_at(at: u32) -> u32 { return (raw[at / 4] >> (at % 4 * 8)) & 255; }

// Bit 4w+j of a word, for values 4w..4w+3 -> bit 8j+w; bit 16+4w+j -> bit 8j+4+w.
fn spread(bits: u32) -> u32 {
  var h = 0u;
  for (var i = 0u; i < 32; i++) { h |= ((bits >> i) & 1) << (i % 4 * 8 + i / 4); }
  return h;
}

fn one(block: u32, at: u32) {
  if (TYPE == 7) {
    for (var w = 0u; w < 8; w++) { weights[block * 8 + w] = word_at(at + 2 + 4 * w) ^ 0x80808080; }
    return;
  }
  if (TYPE == 4) { scales[block] = word_at(at); }
  if (TYPE == 5) { scales[block / 2 * 3 + 1 + block % 2] = spread(word_at(at + 2)); }
  if (TYPE == 6) {
    scales[2 * block] = word_at(at);
    scales[2 * block + 1] = spread(word_at(at + 4));
  }
  let nibbles = at + select(select(4u, 6u, TYPE == 5), 8u, TYPE == 6);
  for (var w = 0u; w < 4; w++) { weights[block * 4 + w] = word_at(nibbles + 4 * w); }
}

fn two(block: u32, at: u32, there: bool, bytes: u32) {
  one(block, at);
  var second = 0u;
  if (there) {
    one(block + 1, at + bytes);
    second = half_at(at + bytes) << 16;
  }
  if (TYPE == 5) { scales[block / 2 * 3] = half_at(at) | second; }
  if (TYPE == 7) { scales[block / 2] = half_at(at) | second; }
}

// Nibbles of values 4w..4w+3 and 16+4w..16+4w+3, which are all low or all high ones from byte `at` on.
fn nibbles_of(at: u32, w: u32, high: bool) -> u32 {
  let shift = select(0u, 4u, high);
  return ((word_at(at + 4 * w) >> shift) & 0x0f0f0f0f) | (((word_at(at + 16 + 4 * w) >> shift) & 0x0f0f0f0f) << 4);
}

// Block j's factor and factor of the minimum, of Q4_K and Q5_K: 6 bits each, in 12 bytes.
fn six_bits(at: u32, j: u32) -> u32 {
  if (j < 4) { return (byte_at(at + j) & 63) | ((byte_at(at + j + 4) & 63) << 8); }
  let low = byte_at(at + j + 4);
  return (low & 15) | ((byte_at(at + j - 4) >> 6) << 4) | (((low >> 4) | ((byte_at(at + j) >> 6) << 4)) << 8);
}

fn superblock(block: u32, at: u32) {
  let to = block / 8 * select(select(5u, 13u, TYPE == 9), 21u, TYPE == 10);
  if (TYPE == 10) {
    scales[to] = half_at(at + 208);
    for (var j = 0u; j < 8; j += 2u) { scales[to + 1 + j / 2] = word_at(at + 192 + 2 * j); }
    for (var j = 0u; j < 8; j++) {
      let nibbles = at + j / 4 * 64 + j % 2 * 32;
      let bits = at + 128 + j / 4 * 32;
      let shift = j % 4 * 2;
      var h = vec2u();
      for (var w = 0u; w < 4; w++) {
        weights[(block + j) * 4 + w] = nibbles_of(nibbles, w, j % 4 >= 2);
        let two_bits = vec2u(word_at(bits + 4 * w), word_at(bits + 16 + 4 * w)) >> vec2u(shift);
        h |= (two_bits & vec2u(0x03030303)) << vec2u(2 * w);
      }
      scales[to + 5 + 2 * j] = h.x;
      scales[to + 6 + 2 * j] = h.y;
    }
    return;
  }
  scales[to] = word_at(at);
  for (var j = 0u; j < 8; j += 2u) { scales[to + 1 + j / 2] = six_bits(at + 4, j) | (six_bits(at + 4, j + 1) << 16); }
  let nibbles = at + select(16u, 48u, TYPE == 9);
  for (var j = 0u; j < 8; j++) {
    var h = 0u;
    for (var w = 0u; w < 4; w++) {
      weights[(block + j) * 4 + w] = nibbles_of(nibbles + j / 2 * 32, w, j % 2 == 1);
      if (TYPE == 9) {
        h |= ((word_at(at + 16 + 4 * w) >> j) & 0x01010101) << w;
        h |= ((word_at(at + 32 + 4 * w) >> j) & 0x01010101) << (w + 4);
      }
    }
    if (TYPE == 9) { scales[to + 5 + j] = h; }
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let unit = (group.x + group.y * groups.x) * WORKGROUP + local;
  if (TYPE >= 8) {
    if (8 * unit >= params.blocks) { return; }
    superblock(params.first_block + 8 * unit, unit * select(select(144u, 176u, TYPE == 9), 210u, TYPE == 10));
    return;
  }
  if (2 * unit >= params.blocks) { return; }
  let bytes = select(select(select(34u, 24u, TYPE == 6), 22u, TYPE == 5), 20u, TYPE == 4);
  two(params.first_block + 2 * unit, unit * 2 * bytes, 2 * unit + 1 < params.blocks, bytes);
}
