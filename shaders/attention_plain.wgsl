// with step kv_cache
// attention_plain: what `attention` computes, for software GPUs.
//   out[m, h] = softmax_j(q[m, h] . k[j, h'] / sqrt(HEAD_DIM)) v[j, h'],  0 <= p - j < WINDOW, p = position + m
//
// q [rows, HEADS, HEAD_DIM] f32, rotated; cache [capacity, 2 (k, v), KV_HEADS, HEAD_DIM] f16 pairs or f32;
// out [rows, HEADS, HEAD_DIM] f32. Grid: x key-value heads, y queries by fours. Precision: f32.
// Why this variant: SwiftShader needs about 80 kB to compile each word of workgroup memory, and much memory for
// repeated code, so there is little of either. A query's keys are not split.
//
// A workgroup takes four queries of one key-value head, as in `attention`, and all their keys, WORKGROUP at a time: an
// invocation scores one key, then gathers eight of the head's dimensions over the whole tile.
// uses: HEADS, KV_HEADS, WINDOW, NOTHING, HIDDEN, params, step, eight, floats, key_of, row_and_head, outer from
// parts/kv_cache

override WORKGROUP: u32 = 16;               // always HEAD_DIM / 8
override HEAD_DIM: u32 = 8 * WORKGROUP;
override EIGHTS: u32 = WORKGROUP;

@group(0) @binding(2) var<storage, read> q: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;

var<workgroup> scores: array<vec4f, WORKGROUP>;     // a component for each query

fn with_key(at: u32, key: mat2x4f) -> f32 { return dot(q[at], key[0]) + dot(q[at + 1], key[1]); }

fn store(c: u32, group: vec3u, at: u32, low: vec4f, high: vec4f) {
  if (4 * group.y + c >= params.rows * HEADS / KV_HEADS) { return; }
  out[at] = low;
  out[at + 1] = high;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let q0 = row_and_head(0, group);
  let q1 = row_and_head(1, group);
  let q2 = row_and_head(2, group);
  let q3 = row_and_head(3, group);
  let positions = step.position + vec4u(q0.x, q1.x, q2.x, q3.x);
  let oldest = positions.x + 1 - min(positions.x + 1, WINDOW);
  let keys = positions.w + 1 - oldest;
  // The first four dimensions of each query, and of its result.
  let starts = (vec4u(q0.x, q1.x, q2.x, q3.x) * HEADS + vec4u(q0.y, q1.y, q2.y, q3.y)) * 2 * WORKGROUP;

  let scale = inverseSqrt(f32(HEAD_DIM));
  var most = vec4f(NOTHING);
  var sum = vec4f();
  var low = mat4x4f();                      // a column for each query: dimensions 0..3 of this invocation's eight
  var high = mat4x4f();                     // and 4..7
  for (var base = 0u; base < keys; base += WORKGROUP) {
    let tile = min(WORKGROUP, keys - base);
    let position = oldest + base + min(lane, tile - 1);
    let key = key_of(position, group.x);
    var score = vec4f();
    for (var i = 0u; i < WORKGROUP; i++) {
      let k8 = floats(eight(key + i));
      let at = starts + 2 * i;
      score += vec4f(with_key(at.x, k8), with_key(at.y, k8), with_key(at.z, k8), with_key(at.w, k8));
    }
    let seen = (vec4u(position) <= positions) & (vec4u(position + WINDOW) > positions);
    scores[lane] = select(vec4f(HIDDEN), scale * score, seen);
    workgroupBarrier();
    let before = most;
    for (var t = 0u; t < tile; t++) { most = max(most, scores[t]); }
    let factor = exp(before - most);
    sum *= factor;
    low = mat4x4f(low[0] * factor.x, low[1] * factor.y, low[2] * factor.z, low[3] * factor.w);
    high = mat4x4f(high[0] * factor.x, high[1] * factor.y, high[2] * factor.z, high[3] * factor.w);
    for (var t = 0u; t < tile; t++) {
      let weights = exp(scores[t] - most);
      let value = floats(eight(key_of(oldest + base + t, group.x) + KV_HEADS * WORKGROUP + lane));
      sum += weights;
      low += outer(value[0], weights);
      high += outer(value[1], weights);
    }
    workgroupBarrier();
  }
  store(0, group, starts.x + 2 * lane, low[0] / sum.x, high[0] / sum.x);
  store(1, group, starts.y + 2 * lane, low[1] / sum.y, high[1] / sum.y);
  store(2, group, starts.z + 2 * lane, low[2] / sum.z, high[2] / sum.z);
  store(3, group, starts.w + 2 * lane, low[3] / sum.w, high[3] / sum.w);
}
