// parts/kv_cache: for both attention kernels: the cache, which queries a workgroup takes, and which keys they see.
//
// cache [capacity, 2 (k, v), KV_HEADS, HEAD_DIM] f16 pairs or f32, read eight dimensions at a time; a head has EIGHTS
// of these.
// uses: Step from parts/step; EIGHTS from the kernel

override HEADS: u32 = 32;
override KV_HEADS: u32 = 8;
override WINDOW: u32 = 8192;
override CACHE_F16: bool = true;

const NOTHING = -1e30;                              // below any score
const HIDDEN = -3e38;                               // a key that a query does not see

struct Params { rows: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(3) var<storage, read> cache: array<vec4u>;

struct Eight { words: vec4u, more: vec4u }          // eight dimensions as they are in the cache; `more` is for f32

// Dimensions 8i..8i+7 of the cache.
fn eight(i: u32) -> Eight {
  if (CACHE_F16) { return Eight(cache[i], vec4u()); }
  return Eight(cache[2 * i], cache[2 * i + 1]);
}

fn floats(eight: Eight) -> mat2x4f {
  if (CACHE_F16) {
    return mat2x4f(vec4f(unpack2x16float(eight.words.x), unpack2x16float(eight.words.y)),
                   vec4f(unpack2x16float(eight.words.z), unpack2x16float(eight.words.w)));
  }
  return mat2x4f(bitcast<vec4f>(eight.words), bitcast<vec4f>(eight.more));
}

// The index of the first eight dimensions of a position's key. Its value's are KV_HEADS * EIGHTS later.
fn key_of(position: u32, kv_head: u32) -> u32 { return (position % step.capacity * 2 * KV_HEADS + kv_head) * EIGHTS; }

// Row and head of the workgroup's query c. For a query past the end, the last one is computed again, and not stored.
fn row_and_head(c: u32, group: vec3u) -> vec2u {
  let shared_by = HEADS / KV_HEADS;
  let i = min(4 * group.y + c, params.rows * shared_by - 1);
  return vec2u(i / shared_by, group.x * shared_by + i % shared_by);
}

fn outer(value: vec4f, weights: vec4f) -> mat4x4f {
  return mat4x4f(value * weights.x, value * weights.y, value * weights.z, value * weights.w);
}
