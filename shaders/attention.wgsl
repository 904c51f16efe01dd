// attention: each query over the keys of its window (spec 4, 6.1).
//   out[m, h] = softmax_j(q[m, h] . k[j, h'] / sqrt(HEAD_DIM)) v[j, h'],  0 <= p - j < WINDOW, p = position + m
// h' = the key-value head of h. The block's own keys are in the cache already; the ring's capacity is at least
// WINDOW - 1 + rows, so none that a query sees has been overwritten. Order in the ring does not matter.
//
// A workgroup takes four queries of one key-value head, rows times the heads that share it, so that what it reads of the
// cache serves four: they are the components of its vectors. The keys that any of them sees are split into up to SPLITS
// runs, a workgroup each, so that few queries keep many workgroups busy; `join_attention` joins them, or `linear_staged`,
// which takes them as its x. With one split the result is final.
// q [rows, HEADS, HEAD_DIM] f32, turned; cache [capacity, 2 (k, v), KV_HEADS, HEAD_DIM] f16 pairs or f32;
// out [rows, HEADS, HEAD_DIM] f32 with one split, else [rows, HEADS, SPLITS, HEAD_DIM], each run's own result, and
// runs [rows, HEADS, SPLITS] its (maximum score, sum of weights); a run without keys has the sum 0.
// Grid: x key-value heads, y queries by fours, z splits. Keys are taken in tiles of KEYS. An invocation has 32 dimensions of
// a key's score; then, of the tile's values, eight dimensions of four, with a running maximum and sum of its own. The next
// tile's keys, and this one's values, are on their way while it computes. HEAD_DIM is 32, 64 or 128, WORKGROUP a multiple
// of HEAD_DIM. Precision: f32. No private array and no loop over one: see `linear`.

override WORKGROUP: u32 = 256;
override HEADS: u32 = 32;
override KV_HEADS: u32 = 8;
override HEAD_DIM: u32 = 128;
override WINDOW: u32 = 8192;
override SPLITS: u32 = 4;
override CACHE_F16: bool = true;

override EIGHTS: u32 = HEAD_DIM / 8;
override PARTS: u32 = HEAD_DIM / 32;                // invocations that share a key
override KEYS: u32 = WORKGROUP / PARTS;
override SHARES: u32 = WORKGROUP / EIGHTS;          // of a tile's values: four each
override SCORES_LINE: u32 = KEYS + 2;               // of parts of scores: banks do not collide

const NOTHING = -1e30;                              // below any score
const HIDDEN = -3e38;                               // a key that a query does not see

struct Params { rows: u32 }
struct Step { position: u32, rotation: u32, capacity: u32, audio_row: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> cache: array<vec4u>;
@group(0) @binding(4) var<storage, read_write> runs: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4f>;

var<workgroup> query: array<vec4f, HEAD_DIM>;              // [8, EIGHTS]: what neighbours read together lies side by side
var<workgroup> scores: array<vec4f, KEYS>;
var<workgroup> highest: array<vec4f, SHARES>;
var<workgroup> sums: array<vec4f, SHARES>;
var<workgroup> gathered: array<vec4f, 2 * WORKGROUP>;      // the scores' parts too

struct Eight { first: vec4u, second: vec4u }        // dimensions of the cache, as they are stored: f16 has no second half
struct FourEights { a: Eight, b: Eight, c: Eight, d: Eight }

fn read_eight(i: u32) -> Eight {
  if (CACHE_F16) { return Eight(cache[i], vec4u()); }
  return Eight(cache[2 * i], cache[2 * i + 1]);
}

fn in_f32(eight: Eight) -> mat2x4f {
  let words = eight.first;
  if (CACHE_F16) {
    return mat2x4f(vec4f(unpack2x16float(words.x), unpack2x16float(words.y)),
                   vec4f(unpack2x16float(words.z), unpack2x16float(words.w)));
  }
  return mat2x4f(bitcast<vec4f>(words), bitcast<vec4f>(eight.second));
}

// The first eight dimensions of a position's key; its value's are KV_HEADS * EIGHTS on.
fn key_of(position: u32, kv_head: u32) -> u32 { return (position % step.capacity * 2 * KV_HEADS + kv_head) * EIGHTS; }

// An invocation's part of a key: neighbours read side by side.
fn read_key(position: u32, kv_head: u32, part: u32) -> FourEights {
  let at = key_of(position, kv_head) + part;
  return FourEights(read_eight(at), read_eight(at + PARTS), read_eight(at + 2 * PARTS), read_eight(at + 3 * PARTS));
}

fn read_value(position: u32, kv_head: u32, column: u32) -> Eight {
  return read_eight(key_of(position, kv_head) + KV_HEADS * EIGHTS + column);
}

fn with_queries(i: u32, eight: Eight) -> vec4f {
  let key = in_f32(eight);
  return query[i] * key[0].x + query[i + EIGHTS] * key[0].y
       + query[i + 2 * EIGHTS] * key[0].z + query[i + 3 * EIGHTS] * key[0].w
       + query[i + 4 * EIGHTS] * key[1].x + query[i + 5 * EIGHTS] * key[1].y
       + query[i + 6 * EIGHTS] * key[1].z + query[i + 7 * EIGHTS] * key[1].w;
}

fn outer(value: vec4f, weights: vec4f) -> mat4x4f {
  return mat4x4f(value * weights.x, value * weights.y, value * weights.z, value * weights.w);
}

// Row and head of the workgroup's query c; those past the last are the last, and not stored.
fn row_and_head(c: u32, group: vec3u) -> vec2u {
  let shared_by = HEADS / KV_HEADS;
  let i = min(4 * group.y + c, params.rows * shared_by - 1);
  return vec2u(i / shared_by, group.x * shared_by + i % shared_by);
}

// The shares' results for query c, which weigh `weight` of all, joined and stored.
fn store(c: u32, group: vec3u, lane: u32, weight: f32, low: vec4f, high: vec4f) {
  if (4 * group.y + c >= params.rows * HEADS / KV_HEADS) { return; }
  gathered[2 * lane] = weight * low;
  gathered[2 * lane + 1] = weight * high;
  workgroupBarrier();
  let which = row_and_head(c, group);
  let run = (which.x * HEADS + which.y) * SPLITS + group.z;
  for (var i = lane; i < 2 * EIGHTS; i += WORKGROUP) {
    var value = vec4f();
    for (var s = 0u; s < SHARES; s += 4u) {
      let at = s * 2 * EIGHTS + i;
      value += gathered[at] + gathered[at + 2 * EIGHTS] + gathered[at + 4 * EIGHTS] + gathered[at + 6 * EIGHTS];
    }
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
  let run = max(KEYS, (visible + SPLITS - 1) / SPLITS);
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
  let last = first + keys - 1;

  let part = lane % PARTS;
  var next = read_key(min(first + lane / PARTS, last), group.x, part);
  let scale = inverseSqrt(f32(HEAD_DIM));
  for (var d = lane; d < HEAD_DIM; d += WORKGROUP) {
    query[d % 8 * EIGHTS + d / 8] = scale * vec4f(q[(q0.x * HEADS + q0.y) * HEAD_DIM + d], q[(q1.x * HEADS + q1.y) * HEAD_DIM + d],
                                                 q[(q2.x * HEADS + q2.y) * HEAD_DIM + d], q[(q3.x * HEADS + q3.y) * HEAD_DIM + d]);
  }
  workgroupBarrier();

  let share = lane / EIGHTS;
  let column = lane % EIGHTS;
  var most = vec4f(NOTHING);
  var sum = vec4f();
  var low = mat4x4f();                      // a column for each query: dimensions 0..3 of this invocation's eight
  var high = mat4x4f();                     // and 4..7
  for (var base = first; base <= last; base += KEYS) {
    let value_a = read_value(min(base + share, last), group.x, column);
    let value_b = read_value(min(base + share + SHARES, last), group.x, column);
    let value_c = read_value(min(base + share + 2 * SHARES, last), group.x, column);
    let value_d = read_value(min(base + share + 3 * SHARES, last), group.x, column);
    let key = next;
    next = read_key(min(base + KEYS + lane / PARTS, last), group.x, part);
    gathered[part * SCORES_LINE + lane / PARTS] = with_queries(part, key.a) + with_queries(part + PARTS, key.b)
                                                + with_queries(part + 2 * PARTS, key.c) + with_queries(part + 3 * PARTS, key.d);
    workgroupBarrier();
    if (lane < KEYS) {
      var score = gathered[lane];
      for (var i = 1u; i < PARTS; i++) { score += gathered[i * SCORES_LINE + lane]; }
      let position = base + lane;
      let seen = (vec4u(position) <= positions) & (vec4u(position + WINDOW) > positions) & vec4<bool>(position <= last);
      scores[lane] = select(vec4f(HIDDEN), score, seen);
    }
    workgroupBarrier();
    let a = in_f32(value_a);
    let b = in_f32(value_b);
    let c = in_f32(value_c);
    let d = in_f32(value_d);
    let before = most;
    most = max(max(before, max(scores[share], scores[share + SHARES])), max(scores[share + 2 * SHARES], scores[share + 3 * SHARES]));
    let factor = exp(before - most);
    let wa = exp(scores[share] - most);
    let wb = exp(scores[share + SHARES] - most);
    let wc = exp(scores[share + 2 * SHARES] - most);
    let wd = exp(scores[share + 3 * SHARES] - most);
    sum = sum * factor + wa + wb + wc + wd;
    low = mat4x4f(low[0] * factor.x, low[1] * factor.y, low[2] * factor.z, low[3] * factor.w)
        + outer(a[0], wa) + outer(b[0], wb) + outer(c[0], wc) + outer(d[0], wd);
    high = mat4x4f(high[0] * factor.x, high[1] * factor.y, high[2] * factor.z, high[3] * factor.w)
         + outer(a[1], wa) + outer(b[1], wb) + outer(c[1], wc) + outer(d[1], wd);
  }
  if (column == 0) {
    highest[share] = most;
    sums[share] = sum;
  }
  workgroupBarrier();
  var most_of_all = vec4f(NOTHING);
  for (var s = 0u; s < SHARES; s += 4u) {
    most_of_all = max(most_of_all, max(max(highest[s], highest[s + 1]), max(highest[s + 2], highest[s + 3])));
  }
  var sum_of_all = vec4f();
  for (var s = 0u; s < SHARES; s += 2u) {
    sum_of_all += exp(highest[s] - most_of_all) * sums[s] + exp(highest[s + 1] - most_of_all) * sums[s + 1];
  }
  let weight = exp(most - most_of_all) / sum_of_all;
  store(0, group, lane, weight.x, low[0], high[0]);
  store(1, group, lane, weight.y, low[1], high[1]);
  store(2, group, lane, weight.z, low[2], high[2]);
  store(3, group, lane, weight.w, low[3], high[3]);
  if (SPLITS > 1 && lane == 0) {            // a query that is stored twice has the same run twice
    runs[(q0.x * HEADS + q0.y) * SPLITS + group.z] = vec2f(most_of_all.x, sum_of_all.x);
    runs[(q1.x * HEADS + q1.y) * SPLITS + group.z] = vec2f(most_of_all.y, sum_of_all.y);
    runs[(q2.x * HEADS + q2.y) * SPLITS + group.z] = vec2f(most_of_all.z, sum_of_all.z);
    runs[(q3.x * HEADS + q3.y) * SPLITS + group.z] = vec2f(most_of_all.w, sum_of_all.w);
  }
}
