// fit_q4_0: values -> Q4_0 blocks as in a file (spec 9.2), with scales that make the squared error small. For `voxtab convert`.
//
// x: blocks of 32 values; packed: blocks of 18 bytes (an f16 scale, 16 bytes of nibbles), two blocks in nine words. The
// partner of an odd last block is zeros. Grid: x, y over pairs of blocks.
// ggml's rule gives code -8 to the value of largest magnitude. Here that value is tried as code -8 + t / 10, for t from
// -CANDIDATES to CANDIDATES. For the codes c that follow, the best scale is s = sum(x c) / sum(c c), and the squared error is
// sum(x x) - s sum(x c). The best s is rounded to f16; the codes are then those for this scale.
// Precision: where a value is half way between two codes, GPUs may choose differently.

override WORKGROUP: u32 = 64;
override CANDIDATES: i32 = 9;               // on either side of ggml's rule

const TOO_SMALL = 1e-8;                     // an eighth of it is 0 in f16
const LARGEST = 65504.0;                    // of f16

struct Params { blocks: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> packed: array<u32>;

fn codes(values: vec4f, inverse: f32) -> vec4f {
  return clamp(round(values * inverse), vec4f(-8), vec4f(7));
}

// The scale of a block, f16 in the low half of a word.
fn fit(block: u32) -> u32 {
  var extreme = 0.0;
  for (var i = 0u; i < 8; i++) {
    let v = x[8 * block + i];
    let low = min(min(v.x, v.y), min(v.z, v.w));
    let high = max(max(v.x, v.y), max(v.z, v.w));
    let most = select(low, high, high > -low);
    extreme = select(extreme, most, abs(most) > abs(extreme));
  }
  if (abs(extreme) < TOO_SMALL) { return 0; }
  var best = 0.0;
  var scale = 0.0;
  for (var t = -CANDIDATES; t <= CANDIDATES; t++) {
    let inverse = (0.1 * f32(t) - 8) / extreme;
    var xc = 0.0;
    var cc = 0.0;
    for (var i = 0u; i < 8; i++) {
      let v = x[8 * block + i];
      let c = codes(v, inverse);
      xc += dot(v, c);
      cc += dot(c, c);
    }
    if (xc * xc > best * cc) {
      best = xc * xc / cc;
      scale = xc / cc;
    }
  }
  return pack2x16float(vec2f(clamp(scale, -LARGEST, LARGEST), 0)) & 0xffff;
}

// Four nibbles of `low` and four of `high`, in the low and high halves of four bytes.
fn nibbles(low: vec4f, high: vec4f) -> u32 {
  let bytes = vec4u(low + 8) | (vec4u(high + 8) << vec4u(4));
  return bytes.x | (bytes.y << 8) | (bytes.z << 16) | (bytes.w << 24);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let pair = (group.x + group.y * groups.x) * WORKGROUP + local;
  if (2 * pair >= params.blocks) { return; }
  var carried = 0u;                         // the half word that comes next, in the low half
  for (var half = 0u; half < 2; half++) {
    let block = 2 * pair + half;
    let at = 9 * pair + 4 * half;
    let is_there = block < params.blocks;
    var bits = 0u;
    if (is_there) { bits = fit(block); }
    let scale = unpack2x16float(bits).x;
    var inverse = 0.0;
    if (scale != 0) { inverse = 1 / scale; }
    if (half == 1) { carried |= bits << 16; packed[at] = carried; }
    else { carried = bits; }
    for (var w = 0u; w < 4; w++) {
      var word = 0x88888888u;
      if (is_there) { word = nibbles(codes(x[8 * block + w], inverse), codes(x[8 * block + 4 + w], inverse)); }
      if (half == 0) {
        packed[at + w] = carried | (word << 16);
        carried = word >> 16;
      } else {
        packed[at + 1 + w] = word;
      }
    }
  }
}
