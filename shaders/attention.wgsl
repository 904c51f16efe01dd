// with keys
// attention: each query over the keys of its window (spec 4, 6.1).
//   out[m, h] = softmax_j(q[m, h] . k[j, h'] / sqrt(HEAD_DIM)) v[j, h'],  0 <= p - j < WINDOW, p = position + m
// h' = the key-value head of h. The block's own keys are in the cache already; the ring's capacity is at least
// WINDOW - 1 + rows, so none that a query sees has been overwritten. Order in the ring does not matter.
//
// A workgroup takes four queries of one key-value head, rows times the heads that share it, so that what it reads of the
// cache serves four: they are the components of its vectors. The keys that any of them sees are split into up to SPLITS
// runs, a workgroup each, which `join_attention` joins: few queries then keep many workgroups busy. With one split the
// result is final.
// q [rows, HEADS, HEAD_DIM] f32, turned; cache [capacity, 2 (k, v), KV_HEADS, HEAD_DIM] f16 pairs or f32;
// out [rows, HEADS, HEAD_DIM] f32 with one split, else [rows, HEADS, SPLITS, HEAD_DIM], each run's own result, and
// runs [rows, HEADS, SPLITS] its (maximum score, sum of weights); a run without keys has the sum 0.
// Grid: x key-value heads, y queries by fours, z splits. Keys are taken in tiles of WORKGROUP: an invocation scores one,
// then, with HEAD_DIM / 8 others, gathers eight of the head's dimensions over its share of the tile's values, with a
// running maximum and sum of its own. HEAD_DIM is 32, 64 or 128, WORKGROUP at least HEAD_DIM / 4. Precision: f32.
// Loads go by fours, and no private array is indexed: see `linear`.

override WORKGROUP: u32 = 128;
override HEAD_DIM: u32 = 128;
override SPLITS: u32 = 32;

override EIGHTS: u32 = HEAD_DIM / 8;                // invocations that share a key's values
override SHARES: u32 = WORKGROUP / EIGHTS;          // of a tile's values

@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(4) var<storage, read_write> runs: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4f>;

var<workgroup> query: array<vec4f, HEAD_DIM>;
var<workgroup> scores: array<vec4f, WORKGROUP>;
var<workgroup> highest: array<vec4f, SHARES>;
var<workgroup> sums: array<vec4f, SHARES>;
var<workgroup> gathered: array<vec4f, SHARES * 2 * EIGHTS>;

fn with_queries(i: u32, key: mat2x4f) -> vec4f {
  let at = 8 * i;
  return query[at] * key[0].x + query[at + 1] * key[0].y + query[at + 2] * key[0].z + query[at + 3] * key[0].w
       + query[at + 4] * key[1].x + query[at + 5] * key[1].y + query[at + 6] * key[1].z + query[at + 7] * key[1].w;
}

// The shares' results for query c, which weigh `weight` of all, joined and stored.
fn store(c: u32, group: vec3u, lane: u32, share: u32, weight: f32, low: vec4f, high: vec4f) {
  if (4 * group.y + c >= params.rows * HEADS / KV_HEADS) { return; }
  let at = share * 2 * EIGHTS + lane % EIGHTS * 2;
  if (share < SHARES) {
    gathered[at] = weight * low;
    gathered[at + 1] = weight * high;
  }
  workgroupBarrier();
  let which = row_and_head(c, group);
  let run = (which.x * HEADS + which.y) * SPLITS + group.z;
  for (var i = lane; i < 2 * EIGHTS; i += WORKGROUP) {
    var value = vec4f();
    for (var s = 0u; s < SHARES; s += 2u) { value += gathered[s * 2 * EIGHTS + i] + gathered[(s + 1) * 2 * EIGHTS + i]; }
    out[run * 2 * EIGHTS + i] = value;
  }
  workgroupBarrier();
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let q0 = row_and_head(0, group);
  let q1 = row_and_head(1, group);
  let q2 = row_and_head(2, group);
  let q3 = row_and_head(3, group);
  let positions = step.position + vec4u(q0.x, q1.x, q2.x, q3.x);
  let oldest = positions.x + 1 - min(positions.x + 1, WINDOW);
  let visible = positions.w + 1 - oldest;
  let run = max(WORKGROUP, (visible + SPLITS - 1) / SPLITS);
  let first = oldest + min(group.z * run, visible);
  let keys = min(run, oldest + visible - first);
  if (keys == 0) {
    if (lane == 0) {
      runs[(q0.x * HEADS + q0.y) * SPLITS + group.z] = vec2f(NOTHING, 0);
      runs[(q1.x * HEADS + q1.y) * SPLITS + group.z] = vec2f(NOTHING, 0);
      runs[(q2.x * HEADS + q2.y) * SPLITS + group.z] = vec2f(NOTHING, 0);
      runs[(q3.x * HEADS + q3.y) * SPLITS + group.z] = vec2f(NOTHING, 0);
    }
    return;
  }

  let scale = inverseSqrt(f32(HEAD_DIM));
  for (var d = lane; d < HEAD_DIM; d += WORKGROUP) {
    query[d] = scale * vec4f(q[(q0.x * HEADS + q0.y) * HEAD_DIM + d], q[(q1.x * HEADS + q1.y) * HEAD_DIM + d],
                             q[(q2.x * HEADS + q2.y) * HEAD_DIM + d], q[(q3.x * HEADS + q3.y) * HEAD_DIM + d]);
  }
  workgroupBarrier();

  let share = lane / EIGHTS;
  var most = vec4f(NOTHING);
  var sum = vec4f();
  var low = mat4x4f();                      // a column for each query: dimensions 0..3 of this invocation's eight
  var high = mat4x4f();                     // and 4..7
  for (var base = 0u; base < keys; base += WORKGROUP) {
    let last = min(WORKGROUP, keys - base) - 1;     // of the tile
    let position = first + base + min(lane, last);
    let key = key_of(position, group.x);
    var score = vec4f();
    for (var i = 0u; i < EIGHTS; i += 4u) {
      let a = eight(key + i);
      let b = eight(key + i + 1);
      let c = eight(key + i + 2);
      let d = eight(key + i + 3);
      score += with_queries(i, a) + with_queries(i + 1, b) + with_queries(i + 2, c) + with_queries(i + 3, d);
    }
    let seen = (vec4u(position) <= positions) & (vec4u(position + WINDOW) > positions) & vec4<bool>(lane <= last);
    scores[lane] = select(vec4f(HIDDEN), score, seen);
    workgroupBarrier();
    for (var t = share; t < WORKGROUP; t += 4 * SHARES) {
      let a = eight(key_of(first + base + min(t, last), group.x) + KV_HEADS * EIGHTS + lane % EIGHTS);
      let b = eight(key_of(first + base + min(t + SHARES, last), group.x) + KV_HEADS * EIGHTS + lane % EIGHTS);
      let c = eight(key_of(first + base + min(t + 2 * SHARES, last), group.x) + KV_HEADS * EIGHTS + lane % EIGHTS);
      let d = eight(key_of(first + base + min(t + 3 * SHARES, last), group.x) + KV_HEADS * EIGHTS + lane % EIGHTS);
      let before = most;
      most = max(max(before, max(scores[t], scores[t + SHARES])), max(scores[t + 2 * SHARES], scores[t + 3 * SHARES]));
      let factor = exp(before - most);
      let wa = exp(scores[t] - most);
      let wb = exp(scores[t + SHARES] - most);
      let wc = exp(scores[t + 2 * SHARES] - most);
      let wd = exp(scores[t + 3 * SHARES] - most);
      sum = sum * factor + wa + wb + wc + wd;
      low = mat4x4f(low[0] * factor.x, low[1] * factor.y, low[2] * factor.z, low[3] * factor.w)
          + outer(a[0], wa) + outer(b[0], wb) + outer(c[0], wc) + outer(d[0], wd);
      high = mat4x4f(high[0] * factor.x, high[1] * factor.y, high[2] * factor.z, high[3] * factor.w)
           + outer(a[1], wa) + outer(b[1], wb) + outer(c[1], wc) + outer(d[1], wd);
    }
    workgroupBarrier();
  }
  if (lane % EIGHTS == 0 && share < SHARES) {
    highest[share] = most;
    sums[share] = sum;
  }
  workgroupBarrier();
  var most_of_all = vec4f(NOTHING);
  for (var s = 0u; s < SHARES; s += 2u) { most_of_all = max(most_of_all, max(highest[s], highest[s + 1])); }
  var sum_of_all = vec4f();
  for (var s = 0u; s < SHARES; s += 2u) {
    sum_of_all += exp(highest[s] - most_of_all) * sums[s] + exp(highest[s + 1] - most_of_all) * sums[s + 1];
  }
  let weight = exp(most - most_of_all) / sum_of_all;
  store(0, group, lane, share, weight.x, low[0], high[0]);
  store(1, group, lane, share, weight.y, low[1], high[1]);
  store(2, group, lane, share, weight.z, low[2], high[2]);
  store(3, group, lane, share, weight.w, low[3], high[3]);
  if (SPLITS > 1 && lane == 0) {            // a query that is stored twice has the same run twice
    runs[(q0.x * HEADS + q0.y) * SPLITS + group.z] = vec2f(most_of_all.x, sum_of_all.x);
    runs[(q1.x * HEADS + q1.y) * SPLITS + group.z] = vec2f(most_of_all.y, sum_of_all.y);
    runs[(q2.x * HEADS + q2.y) * SPLITS + group.z] = vec2f(most_of_all.z, sum_of_all.z);
    runs[(q3.x * HEADS + q3.y) * SPLITS + group.z] = vec2f(most_of_all.w, sum_of_all.w);
  }
}
