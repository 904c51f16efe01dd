// with step kv_cache
// attention: each query over the keys of its window (spec 4, 6.1).
//   out[m, h] = softmax_j(q[m, h] . k[j, h'] / sqrt(HEAD_DIM)) v[j, h'],  0 <= p - j < WINDOW, p = position + m
// h' is the key-value head of h. The keys of the step's own rows are in the cache already. The ring's capacity is at
// least WINDOW - 1 + rows, so no key that a query sees has been overwritten. The order in the ring does not matter.
//
// q [rows, HEADS, HEAD_DIM] f32, rotated; cache [capacity, 2 (k, v), KV_HEADS, HEAD_DIM] f16 pairs or f32;
// out: with one split [rows, HEADS, HEAD_DIM] f32; with more [rows, HEADS, SPLITS, HEAD_DIM], the result of each split;
// split_sums [rows, HEADS, SPLITS] (maximum score, sum of weights) of each split; a split without keys has the sum 0.
// Grid: x key-value heads, y queries by fours, z splits. Precision: f32.
// Why this variant: on a real GPU few queries must keep many workgroups busy; `attention_plain` is for software GPUs.
//
// A workgroup takes four queries of one key-value head (rows times the heads that share it), so that each read of the
// cache serves four: they are the components of its vectors. The keys that any of them sees are divided into up to
// SPLITS splits, a workgroup for each; `attention_join` joins their results. With one split the result is final.
// Keys come in tiles of WORKGROUP / 4. Four invocations score a key, a quarter of its dimensions each. Then each
// invocation gathers eight dimensions over its share of the tile's values, with a running maximum and sum of its own.
// An invocation makes EIGHTS / 4 loads for keys, and the same number for values. All these loads, and the next tile's,
// are under way before anything waits for them. HEAD_DIM is 32, 64 or 128; WORKGROUP is a multiple of HEAD_DIM / 2. No
// private array is indexed: see `linear_plain`.
// uses: HEADS, KV_HEADS, WINDOW, NOTHING, HIDDEN, params, step, Eight, eight, floats, key_of, row_and_head, outer from
// parts/kv_cache

override WORKGROUP: u32 = 128;
override HEAD_DIM: u32 = 128;
override SPLITS: u32 = 16;

override EIGHTS: u32 = HEAD_DIM / 8;                // invocations that share a key's values
override VECTORS: u32 = HEAD_DIM / 4;               // of four dimensions, that they gather
override SHARES: u32 = WORKGROUP / EIGHTS;          // of a tile's values: that many keys are gathered at a time
override TILE: u32 = WORKGROUP / 4;                 // keys
override QUARTER: u32 = TILE + 1;                   // vectors between two quarters' scores: banks do not collide

@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(4) var<storage, read_write> split_sums: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

var<workgroup> query: array<vec4f, 9 * EIGHTS>;     // eight dimensions, then a gap: banks do not collide
var<workgroup> scores: array<vec4f, 4 * QUARTER>;
var<workgroup> highest: array<vec4f, SHARES>;
var<workgroup> sums: array<vec4f, SHARES>;
var<workgroup> gathered: array<vec4f, 4 * WORKGROUP>;  // of two queries

struct Tile { k0: Eight, k1: Eight, k2: Eight, k3: Eight, v0: Eight, v1: Eight, v2: Eight, v3: Eight }

// What an invocation reads of the tile that begins at position `first`; `last` is the index of the tile's last key.
fn tile_at(first: u32, last: u32, kv_head: u32, lane: u32) -> Tile {
  let key = key_of(first + min(lane / 4, last), kv_head) + lane % 4;
  var tile: Tile;
  tile.k0 = eight(key);
  if (EIGHTS > 4) { tile.k1 = eight(key + 4); }
  if (EIGHTS > 8) {
    tile.k2 = eight(key + 8);
    tile.k3 = eight(key + 12);
  }
  let share = lane / EIGHTS;
  let dimensions = KV_HEADS * EIGHTS + lane % EIGHTS;
  tile.v0 = eight(key_of(first + min(share, last), kv_head) + dimensions);
  if (EIGHTS > 4) { tile.v1 = eight(key_of(first + min(share + SHARES, last), kv_head) + dimensions); }
  if (EIGHTS > 8) {
    tile.v2 = eight(key_of(first + min(share + 2 * SHARES, last), kv_head) + dimensions);
    tile.v3 = eight(key_of(first + min(share + 3 * SHARES, last), kv_head) + dimensions);
  }
  return tile;
}

// The products of eight dimensions of a key with the same of the four queries.
fn with_queries(i: u32, eight: Eight) -> vec4f {
  let key = floats(eight);
  let at = 9 * i;
  return query[at] * key[0].x + query[at + 1] * key[0].y + query[at + 2] * key[0].z + query[at + 3] * key[0].w
       + query[at + 4] * key[1].x + query[at + 5] * key[1].y + query[at + 6] * key[1].z + query[at + 7] * key[1].w;
}

fn score_of(t: u32) -> vec4f { return scores[t] + scores[t + QUARTER] + scores[t + 2 * QUARTER] + scores[t + 3 * QUARTER]; }

// Joins the shares' results for queries c and c + 1, and stores them. low, high: this invocation's, a column for each of both;
// most: their largest scores. All four queries at once would need more workgroup memory than every GPU grants.
fn store_two(c: u32, group: vec3u, lane: u32, low: mat2x4f, high: mat2x4f, most: vec2f) {
  gathered[2 * lane] = low[0];
  gathered[2 * lane + 1] = high[0];
  gathered[2 * (WORKGROUP + lane)] = low[1];
  gathered[2 * (WORKGROUP + lane) + 1] = high[1];
  workgroupBarrier();
  for (var i = lane; i < 2 * HEAD_DIM; i += WORKGROUP) {
    let second = i / HEAD_DIM;
    let query = c + second;
    let d = i % HEAD_DIM;
    var sum = 0.0;
    var value = 0.0;
    for (var s = 0u; s < SHARES; s += 4u) {
      let at = second * 2 * WORKGROUP + s * VECTORS + d / 4;
      sum += sums[s][query] + sums[s + 1][query] + sums[s + 2][query] + sums[s + 3][query];
      value += gathered[at][d % 4] + gathered[at + VECTORS][d % 4] + gathered[at + 2 * VECTORS][d % 4] + gathered[at + 3 * VECTORS][d % 4];
    }
    if (4 * group.y + query < params.rows * HEADS / KV_HEADS) {
      let which = row_and_head(query, group);
      let split = (which.x * HEADS + which.y) * SPLITS + group.z;
      out[split * HEAD_DIM + d] = value / sum;
      if (SPLITS > 1 && d == 0) { split_sums[split] = vec2f(select(most.x, most.y, second == 1), sum); }
    }
  }
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
  let split = max(TILE, (visible + SPLITS - 1) / SPLITS);
  let first = oldest + min(group.z * split, visible);
  let keys = min(split, oldest + visible - first);
  if (keys == 0) {
    if (lane == 0) {
      split_sums[(q0.x * HEADS + q0.y) * SPLITS + group.z] = vec2f(NOTHING, 0);
      split_sums[(q1.x * HEADS + q1.y) * SPLITS + group.z] = vec2f(NOTHING, 0);
      split_sums[(q2.x * HEADS + q2.y) * SPLITS + group.z] = vec2f(NOTHING, 0);
      split_sums[(q3.x * HEADS + q3.y) * SPLITS + group.z] = vec2f(NOTHING, 0);
    }
    return;
  }

  var next = tile_at(first, min(TILE, keys) - 1, group.x, lane);
  let scale = inverseSqrt(f32(HEAD_DIM));
  for (var d = lane; d < HEAD_DIM; d += WORKGROUP) {
    query[d + d / 8] = scale * vec4f(q[(q0.x * HEADS + q0.y) * HEAD_DIM + d], q[(q1.x * HEADS + q1.y) * HEAD_DIM + d],
                                     q[(q2.x * HEADS + q2.y) * HEAD_DIM + d], q[(q3.x * HEADS + q3.y) * HEAD_DIM + d]);
  }
  workgroupBarrier();

  let share = lane / EIGHTS;
  let quarter = lane % 4;
  var most = vec4f(NOTHING);
  var sum = vec4f();
  var low = mat4x4f();                      // a column for each query: dimensions 0..3 of this invocation's eight
  var high = mat4x4f();                     // and 4..7
  for (var base = 0u; base < keys; base += TILE) {
    let tile = next;
    let last = min(TILE, keys - base) - 1;
    if (base + TILE < keys) { next = tile_at(first + base + TILE, min(TILE, keys - base - TILE) - 1, group.x, lane); }
    var score = with_queries(quarter, tile.k0);
    if (EIGHTS > 4) { score += with_queries(quarter + 4, tile.k1); }
    if (EIGHTS > 8) { score += with_queries(quarter + 8, tile.k2) + with_queries(quarter + 12, tile.k3); }
    let position = vec4u(first + base + min(lane / 4, last));
    let seen = (position <= positions) & (position + WINDOW > positions) & vec4<bool>(lane / 4 <= last);
    scores[quarter * QUARTER + lane / 4] = select(vec4f(select(0, HIDDEN, quarter == 0)), score, seen);
    workgroupBarrier();
    let hidden = vec4f(HIDDEN);
    let a = score_of(share);
    var b = hidden;
    var c = hidden;
    var d = hidden;
    if (EIGHTS > 4) { b = score_of(share + SHARES); }
    if (EIGHTS > 8) {
      c = score_of(share + 2 * SHARES);
      d = score_of(share + 3 * SHARES);
    }
    let before = most;
    most = max(max(before, max(a, b)), max(c, d));
    let factor = exp(before - most);
    let wa = exp(a - most);
    let wb = exp(b - most);
    let wc = exp(c - most);
    let wd = exp(d - most);
    sum = sum * factor + wa + wb + wc + wd;
    low = mat4x4f(low[0] * factor.x, low[1] * factor.y, low[2] * factor.z, low[3] * factor.w);
    high = mat4x4f(high[0] * factor.x, high[1] * factor.y, high[2] * factor.z, high[3] * factor.w);
    let va = floats(tile.v0);
    low += outer(va[0], wa);
    high += outer(va[1], wa);
    if (EIGHTS > 4) {
      let vb = floats(tile.v1);
      low += outer(vb[0], wb);
      high += outer(vb[1], wb);
    }
    if (EIGHTS > 8) {
      let vc = floats(tile.v2);
      let vd = floats(tile.v3);
      low += outer(vc[0], wc) + outer(vd[0], wd);
      high += outer(vc[1], wc) + outer(vd[1], wd);
    }
    workgroupBarrier();
  }
  if (lane % EIGHTS == 0) { highest[share] = most; }
  workgroupBarrier();
  var most_of_all = vec4f(NOTHING);
  for (var s = 0u; s < SHARES; s += 4u) {
    most_of_all = max(most_of_all, max(max(highest[s], highest[s + 1]), max(highest[s + 2], highest[s + 3])));
  }
  let weight = exp(most - most_of_all);
  if (lane % EIGHTS == 0) { sums[share] = weight * sum; }
  store_two(0, group, lane, mat2x4f(weight.x * low[0], weight.y * low[1]),
            mat2x4f(weight.x * high[0], weight.y * high[1]), most_of_all.xy);
  workgroupBarrier();
  store_two(2, group, lane, mat2x4f(weight.z * low[2], weight.w * low[3]),
            mat2x4f(weight.z * high[2], weight.w * high[3]), most_of_all.zw);
}
