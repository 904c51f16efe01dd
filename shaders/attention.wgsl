// attention: each query over the keys of its window (spec 4, 6.1).
//   out[m, h] = softmax_j(q[m, h] . k[j, h'] / sqrt(HEAD_DIM)) v[j, h'],  0 <= p - j < WINDOW, p = position + m
// h' = the key-value head of h. The block's own keys are in the cache already; the ring's capacity is at least
// WINDOW - 1 + rows, so none that a query sees has been overwritten. Order in the ring does not matter.
//
// The visible keys are split into SPLITS runs, a workgroup each, which `join_attention` joins: a long context then
// keeps many workgroups busy. With one split the result is final.
// q [rows, HEADS, HEAD_DIM] f32, turned; cache [capacity, 2 (k, v), KV_HEADS, HEAD_DIM] f16 pairs or f32;
// out [rows, HEADS, HEAD_DIM] f32 with one split, else [rows, HEADS, SPLITS, HEAD_DIM], each run's own result, and
// runs [rows, HEADS, SPLITS] its (maximum score, sum of weights); a run without keys has the sum 0.
// Grid: x key-value heads, y rows, z splits. Keys are taken in tiles of WORKGROUP, with a running maximum and sum;
// an invocation scores one key of a tile, then gathers its share of the head's values. Precision: f32.

override WORKGROUP: u32 = 64;
override HEADS: u32 = 32;
override KV_HEADS: u32 = 8;
override HEAD_DIM: u32 = 128;
override WINDOW: u32 = 8192;
override SPLITS: u32 = 8;
override CACHE_F16: bool = true;

struct Params { rows: u32 }
struct Step { position: u32, rotation: u32, capacity: u32, audio_row: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> cache: array<u32>;
@group(0) @binding(4) var<storage, read_write> runs: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

const MAX_SHARE = 8u;                       // pairs of values an invocation may gather

var<workgroup> query: array<f32, HEADS / KV_HEADS * HEAD_DIM>;
var<workgroup> weights: array<f32, HEADS / KV_HEADS * WORKGROUP>;
var<workgroup> running: array<vec3f, HEADS / KV_HEADS>;    // maximum, sum, factor for what was gathered before

fn cached(pair: u32) -> vec2f {
  if (CACHE_F16) { return unpack2x16float(cache[pair]); }
  return bitcast<vec2f>(vec2u(cache[2 * pair], cache[2 * pair + 1]));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let shared_by = HEADS / KV_HEADS;         // query heads of this key-value head
  let half = HEAD_DIM / 2;
  let kv_head = group.x;
  let row = group.y;
  let position = step.position + row;
  let visible = min(position + 1, WINDOW);
  let run = (visible + SPLITS - 1) / SPLITS;
  let skipped = min(group.z * run, visible);
  let keys = min(run, visible - skipped);
  let oldest = position + 1 - visible + skipped;
  let scale = inverseSqrt(f32(HEAD_DIM));
  let first_head = row * HEADS + kv_head * shared_by;

  for (var i = lane; i < shared_by * HEAD_DIM; i += WORKGROUP) { query[i] = q[first_head * HEAD_DIM + i] * scale; }
  for (var h = lane; h < shared_by; h += WORKGROUP) { running[h] = vec3f(-3e38, 0, 0); }
  workgroupBarrier();

  var gathered: array<vec2f, MAX_SHARE>;
  for (var base = 0u; base < keys; base += WORKGROUP) {
    let tile = min(WORKGROUP, keys - base);
    if (lane < tile) {
      let slot = (oldest + base + lane) % step.capacity;
      let key = (slot * 2 * KV_HEADS + kv_head) * half;
      for (var h = 0u; h < shared_by; h++) {
        var score = 0.0;
        for (var j = 0u; j < half; j++) {
          let pair = cached(key + j);
          score += query[h * HEAD_DIM + 2 * j] * pair.x + query[h * HEAD_DIM + 2 * j + 1] * pair.y;
        }
        weights[h * WORKGROUP + lane] = score;
      }
    }
    workgroupBarrier();
    for (var h = lane; h < shared_by; h += WORKGROUP) {
      var highest = running[h].x;
      for (var t = 0u; t < tile; t++) { highest = max(highest, weights[h * WORKGROUP + t]); }
      let factor = exp(running[h].x - highest);
      var sum = running[h].y * factor;
      for (var t = 0u; t < tile; t++) {
        let weight = exp(weights[h * WORKGROUP + t] - highest);
        weights[h * WORKGROUP + t] = weight;
        sum += weight;
      }
      running[h] = vec3f(highest, sum, factor);
    }
    workgroupBarrier();
    for (var i = 0u; i < MAX_SHARE; i++) {
      let pair = lane + i * WORKGROUP;
      if (pair < shared_by * half) {
        let h = pair / half;
        var sum = gathered[i] * running[h].z;
        for (var t = 0u; t < tile; t++) {
          let slot = (oldest + base + t) % step.capacity;
          sum += weights[h * WORKGROUP + t] * cached((slot * 2 * KV_HEADS + KV_HEADS + kv_head) * half + pair % half);
        }
        gathered[i] = sum;
      }
    }
    workgroupBarrier();
  }
  for (var h = lane; h < shared_by && SPLITS > 1; h += WORKGROUP) {
    runs[(first_head + h) * SPLITS + group.z] = running[h].xy;
  }
  for (var i = 0u; i < MAX_SHARE; i++) {
    let pair = lane + i * WORKGROUP;
    if (pair < shared_by * half && keys > 0) {
      let h = pair / half;
      let value = gathered[i] / running[h].y;
      let at = (((first_head + h) * SPLITS + group.z) * half + pair % half) * 2;
      out[at] = value.x;
      out[at + 1] = value.y;
    }
  }
}
