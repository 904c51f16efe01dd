// rotate_keys: rotate every cached key back by some positions, so that a long stream's RoPE positions can start low
// again (spec 8.5): scores depend on differences of positions only.
//   (k0, k1) -> (k0 cos + k1 sin, k1 cos - k0 sin), the angle being positions * base^(-2j / HEAD_DIM)
//
// angles [HEAD_DIM / 2] (cos, sin) f32 of that angle; cache [capacity, 2 (k, v), KV_HEADS, HEAD_DIM] f16 pairs or f32.
// Grid: x over a slot's pairs of keys' dimensions, y, z over slots. Precision: f32, rounded to the cache's type again.

override WORKGROUP: u32 = 64;
override KV_HEADS: u32 = 8;
override HEAD_DIM: u32 = 128;
override CACHE_F16: bool = true;

struct Params { capacity: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> angles: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> cache: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let half = HEAD_DIM / 2;
  let slot = id.y + id.z * groups.y;
  if (id.x >= KV_HEADS * half || slot >= params.capacity) { return; }
  let angle = angles[id.x % half];
  let at = slot * 2 * KV_HEADS * half + id.x;
  var key: vec2f;
  if (CACHE_F16) {
    key = unpack2x16float(cache[at]);
  } else {
    key = bitcast<vec2f>(vec2u(cache[2 * at], cache[2 * at + 1]));
  }
  key = vec2f(key.x * angle.x + key.y * angle.y, key.y * angle.x - key.x * angle.y);
  if (CACHE_F16) {
    cache[at] = pack2x16float(key);
  } else {
    cache[2 * at] = bitcast<u32>(key.x);
    cache[2 * at + 1] = bitcast<u32>(key.y);
  }
}
