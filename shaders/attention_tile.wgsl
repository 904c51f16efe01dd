// with step kv_cache
// attention_tile: what `attention` computes, for many queries of a head.
//   out[m, h] = softmax_j(q[m, h] . k[j, h'] / sqrt(HEAD_DIM)) v[j, h'],  0 <= p - j < WINDOW, p = position + m
//
// q [rows, HEADS, HEAD_DIM] f32, rotated; cache [capacity, 2 (k, v), KV_HEADS, HEAD_DIM] f16 pairs or f32;
// out [rows, HEADS, HEAD_DIM] f32. Grid: x key-value heads, y queries by QUERIES. Precision: f32.
// Why this variant: with many queries, each key and value that is read serves QUERIES of them, where `attention` reads
// it for four.
//
// A workgroup takes 64 queries of one key-value head (rows times the heads that share it), and four teams of 64
// invocations share the keys that any of them sees. An invocation has one query, and what it has gathered for it, in
// registers. Keys come in tiles of 32, which lie in workgroup memory; a team takes eight of them. All its invocations
// read the same key at the same time. The next tile is under way meanwhile. At the end the teams' results are joined, 16
// dimensions at a time. HEAD_DIM is 32 or 64.
// uses: HEADS, KV_HEADS, WINDOW, NOTHING, HIDDEN, params, step, Eight, eight, floats, key_of from parts/kv_cache

override WORKGROUP: u32 = 256;              // no other value: it is QUERIES * TEAMS
override HEAD_DIM: u32 = 64;

override EIGHTS: u32 = HEAD_DIM / 8;
override VECTORS: u32 = HEAD_DIM / 4;

const QUERIES = 64u;
const TEAMS = 4u;
const TILE = 32u;                           // keys
const OF_TEAM = 8u;                         // keys of a tile

@group(0) @binding(2) var<storage, read> q: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;

// A tile's keys [TILE, VECTORS], then its values; at the end what the teams found.
var<workgroup> kept: array<vec4f, 1024>;

struct Pair { key: Eight, value: Eight }

// What an invocation brings of the tile that begins at position `first`; the last key is at `newest`.
fn bring(first: u32, newest: u32, kv_head: u32, lane: u32) -> Pair {
  let at = key_of(min(first + lane / EIGHTS % TILE, newest), kv_head) + lane % EIGHTS;
  return Pair(eight(at), eight(at + KV_HEADS * EIGHTS));
}

fn keep(pair: Pair, lane: u32) {
  if (lane >= TILE * EIGHTS) { return; }
  let key = floats(pair.key);
  let value = floats(pair.value);
  kept[2 * lane] = key[0];
  kept[2 * lane + 1] = key[1];
  kept[TILE * VECTORS + 2 * lane] = value[0];
  kept[TILE * VECTORS + 2 * lane + 1] = value[1];
}

// 16 dimensions of a query, from vector `at` on.
fn sixteen(at: u32, scale: f32) -> mat4x4f { return scale * mat4x4f(q[at], q[at + 1], q[at + 2], q[at + 3]); }

fn products(query: mat4x4f, at: u32, sums: vec4f) -> vec4f {
  return fma(query[0], kept[at], fma(query[1], kept[at + 1], fma(query[2], kept[at + 2], fma(query[3], kept[at + 3], sums))));
}

fn gather(result: mat4x4f, at: u32, weight: f32) -> mat4x4f {
  let w = vec4f(weight);
  return mat4x4f(fma(w, kept[at], result[0]), fma(w, kept[at + 1], result[1]), fma(w, kept[at + 2], result[2]),
                 fma(w, kept[at + 3], result[3]));
}

// The score of a query with the key at `key`; HIDDEN if it does not see that position.
fn score(q0: mat4x4f, q1: mat4x4f, q2: mat4x4f, q3: mat4x4f, key: u32, of_key: u32, position: u32) -> f32 {
  var sums = products(q1, key + 4, products(q0, key, vec4f()));
  if (HEAD_DIM > 32) { sums = products(q3, key + 12, products(q2, key + 8, sums)); }
  return select(HIDDEN, dot(sums, vec4f(1)), of_key <= position && of_key + WINDOW > position);
}

// Joins dimensions 4 * first..4 * first + 15 of the teams' results, and stores them. `at`: where the results of the query
// that this invocation stores begin; `is_one`: whether there is such a query.
fn join(result: mat4x4f, first: u32, lane: u32, at: u32, is_one: bool) {
  workgroupBarrier();
  kept[lane] = result[0];
  kept[lane + 256] = result[1];
  kept[lane + 512] = result[2];
  kept[lane + 768] = result[3];
  workgroupBarrier();
  let place = lane % 4 * 256 + lane / 4;
  let sum = kept[place] + kept[place + QUERIES] + kept[place + 2 * QUERIES] + kept[place + 3 * QUERIES];
  if (is_one) { out[at + first + lane % 4] = sum; }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let shared_by = HEADS / KV_HEADS;
  let queries = params.rows * shared_by;
  let first_query = QUERIES * group.y;
  let query = min(first_query + lane % QUERIES, queries - 1);
  let team = lane / QUERIES;
  let position = step.position + query / shared_by;
  let newest = step.position + (min(first_query + QUERIES, queries) - 1) / shared_by;
  let first_position = step.position + first_query / shared_by;
  let oldest = first_position + 1 - min(first_position + 1, WINDOW);

  let at = (query / shared_by * HEADS + group.x * shared_by + query % shared_by) * VECTORS;
  let scale = inverseSqrt(f32(HEAD_DIM));
  let q0 = sixteen(at, scale);
  let q1 = sixteen(at + 4, scale);
  var q2 = mat4x4f();
  var q3 = mat4x4f();
  if (HEAD_DIM > 32) {
    q2 = sixteen(at + 8, scale);
    q3 = sixteen(at + 12, scale);
  }
  var most = NOTHING;
  var sum = 0.0;
  var r0 = mat4x4f();
  var r1 = mat4x4f();
  var r2 = mat4x4f();
  var r3 = mat4x4f();
  var next = bring(oldest, newest, group.x, lane);
  for (var base = oldest; base <= newest; base += TILE) {
    workgroupBarrier();
    keep(next, lane);
    workgroupBarrier();
    next = bring(base + TILE, newest, group.x, lane);
    let first = base + team * OF_TEAM;
    var key = team * OF_TEAM * VECTORS;
    let s0 = score(q0, q1, q2, q3, key, first, position);
    let s1 = score(q0, q1, q2, q3, key + VECTORS, first + 1, position);
    let s2 = score(q0, q1, q2, q3, key + 2 * VECTORS, first + 2, position);
    let s3 = score(q0, q1, q2, q3, key + 3 * VECTORS, first + 3, position);
    let s4 = score(q0, q1, q2, q3, key + 4 * VECTORS, first + 4, position);
    let s5 = score(q0, q1, q2, q3, key + 5 * VECTORS, first + 5, position);
    let s6 = score(q0, q1, q2, q3, key + 6 * VECTORS, first + 6, position);
    let s7 = score(q0, q1, q2, q3, key + 7 * VECTORS, first + 7, position);
    let before = most;
    most = max(max(max(max(s0, s1), max(s2, s3)), max(max(s4, s5), max(s6, s7))), before);
    let factor = exp(before - most);
    let early = exp(vec4f(s0, s1, s2, s3) - most);
    let late = exp(vec4f(s4, s5, s6, s7) - most);
    sum = sum * factor + dot(early + late, vec4f(1));
    r0 *= factor;
    r1 *= factor;
    r2 *= factor;
    r3 *= factor;
    key += TILE * VECTORS;                  // the values
    for (var k = 0u; k < 4; k++) {
      let value = key + k * VECTORS;
      r0 = gather(r0, value, early[k]);
      r1 = gather(r1, value + 4, early[k]);
      if (HEAD_DIM > 32) {
        r2 = gather(r2, value + 8, early[k]);
        r3 = gather(r3, value + 12, early[k]);
      }
    }
    for (var k = 0u; k < 4; k++) {
      let value = key + (k + 4) * VECTORS;
      r0 = gather(r0, value, late[k]);
      r1 = gather(r1, value + 4, late[k]);
      if (HEAD_DIM > 32) {
        r2 = gather(r2, value + 8, late[k]);
        r3 = gather(r3, value + 12, late[k]);
      }
    }
  }

  workgroupBarrier();
  kept[lane] = vec4f(most, sum, 0, 0);
  workgroupBarrier();
  let of_query = lane % QUERIES;
  let a = kept[of_query];
  let b = kept[of_query + QUERIES];
  let c = kept[of_query + 2 * QUERIES];
  let d = kept[of_query + 3 * QUERIES];
  let highest = max(max(a.x, b.x), max(c.x, d.x));
  let total = a.y * exp(a.x - highest) + b.y * exp(b.x - highest) + c.y * exp(c.x - highest) + d.y * exp(d.x - highest);
  let share = exp(most - highest) / total;
  let stored = first_query + lane / 4;
  let row = stored / shared_by;
  let to = (row * HEADS + group.x * shared_by + stored % shared_by) * VECTORS;
  join(share * r0, 0, lane, to, stored < queries);
  join(share * r1, 4, lane, to, stored < queries);
  if (HEAD_DIM > 32) {
    join(share * r2, 8, lane, to, stored < queries);
    join(share * r3, 12, lane, to, stored < queries);
  }
}
