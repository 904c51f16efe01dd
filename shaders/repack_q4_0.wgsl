// repack_q4_0: the file's Q4_0 blocks of 18 bytes (an f16 scale, 16 bytes of nibbles) -> nibbles and scales apart, both
// aligned, in the same order (spec 9.2). While loading.
//
// raw: packed blocks, from an even one on; nibbles [blocks, 4] u32; scales: two f16 a word; both from first_block on,
// which is even. Grid: x, y over pairs of blocks, which have 36 bytes, nine words. An odd last block has no partner.
// Precision: exact.

override WORKGROUP: u32 = 64;

struct Params { blocks: u32, first_block: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> raw: array<u32>;
@group(0) @binding(2) var<storage, read_write> nibbles: array<u32>;
@group(0) @binding(3) var<storage, read_write> scales: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let pair = (group.x + group.y * groups.x) * WORKGROUP + local;
  if (2 * pair >= params.blocks) { return; }
  let at = 9 * pair;
  let block = params.first_block + 2 * pair;
  for (var w = 0u; w < 4; w++) { nibbles[block * 4 + w] = (raw[at + w] >> 16) | (raw[at + w + 1] << 16); }
  var second_scale = 0u;
  if (2 * pair + 1 < params.blocks) {
    for (var w = 0u; w < 4; w++) { nibbles[block * 4 + 4 + w] = raw[at + 5 + w]; }
    second_scale = raw[at + 4] & 0xffff0000;
  }
  scales[params.first_block / 2 + pair] = (raw[at] & 0xffff) | second_scale;
}
