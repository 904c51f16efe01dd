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
// invocations share the keys that any of them sees. Keys come in tiles of 28, seven for each team; the next tile is under
// way meanwhile. At the end the teams' results are joined.
//
// Reads of workgroup memory limit the speed, so a vector of a key serves 16 multiply-adds, and one of a value 32. Four
// neighbours have four queries in common, and each has a quarter of the dimensions of all four in registers. So the scores
// of a neighbour are sums over its quarter alone. Two exchanges add them: with the neighbour two away, of two queries each,
// then with the next one, of one query each. Then each neighbour has the scores of one query, its own, and makes its
// weights. Of the result, eight neighbours have eight queries in common, and each has an eighth of the dimensions.
//
// Neighbour n (0 to 3) has vectors n, n + 4, n + 8, n + 12 of a query, and neighbour m (0 to 7) vectors m and m + 8 of a
// result: together, neighbours read bytes in a row. The queries of n are in the order n, n ^ 1, n ^ 2, n ^ 3: its own is
// the first, and what it gives away comes last. HEAD_DIM is 32 or 64.
// uses: HEADS, KV_HEADS, WINDOW, NOTHING, HIDDEN, params, step, Eight, eight, floats, key_of from parts/kv_cache

override WORKGROUP: u32 = 256;              // no other value: it is QUERIES * TEAMS
override HEAD_DIM: u32 = 64;

override EIGHTS: u32 = HEAD_DIM / 8;
override VECTORS: u32 = HEAD_DIM / 4;

const QUERIES = 64u;
const TEAMS = 4u;
const OF_TEAM = 7u;                         // keys of a tile; with eight, there would be no room for `factor`
const TILE = TEAMS * OF_TEAM;

@group(0) @binding(2) var<storage, read> q: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;

// 16 KiB: [2 * TEAMS, keys, vectors / 4, neighbours]. A tile's keys lie in the first TEAMS rows, its values in the others;
// in between, and at the end, both have what invocations exchange. Most indices are constants: these cost no check of bounds.
var<workgroup> kept: array<array<array<array<vec4f, 4>, 4>, 8>, 8>;

struct Quarter { a: mat4x4f, b: mat4x4f, c: mat4x4f, d: mat4x4f }   // a neighbour's four vectors of four queries

// A neighbour's first vector of four results and of four more, then its second vector of these.
struct Eighth { a: mat4x4f, more_a: mat4x4f, b: mat4x4f, more_b: mat4x4f }

fn first_vector(query: u32, kv_head: u32) -> u32 {
  let shared_by = HEADS / KV_HEADS;
  return (query / shared_by * HEADS + kv_head * shared_by + query % shared_by) * VECTORS;
}

// Four dimensions of four queries: a column for each dimension.
fn columns(at: vec4u, scale: f32) -> mat4x4f {
  return transpose(scale * mat4x4f(q[at.x], q[at.y], q[at.z], q[at.w]));
}

// What a neighbour has of four queries, whose first vectors for it are `at`.
fn quarter(at: vec4u, scale: f32) -> Quarter {
  let a = columns(at, scale);
  let b = columns(at + 4, scale);
  if (HEAD_DIM <= 32) { return Quarter(a, b, mat4x4f(), mat4x4f()); }
  return Quarter(a, b, columns(at + 8, scale), columns(at + 12, scale));
}

// The index in the cache of what an invocation brings of the tile that begins at position `first`: eight dimensions of a key.
fn brought(first: u32, newest: u32, kv_head: u32, lane: u32) -> u32 {
  return key_of(min(first + lane / EIGHTS, newest), kv_head) + lane % EIGHTS;
}

// Half of the invocations keep their second vector first, so that the vectors of eight neighbours lie in different banks.
fn keep(brought: Eight, first_row: u32, lane: u32) {
  if (lane >= TILE * EIGHTS) { return; }
  let key = lane / EIGHTS;
  let row = first_row + key / OF_TEAM;
  let pair = floats(brought);
  let is_second = lane / 4 % 2 == 1;
  let at = lane % 2 * 2 + u32(is_second);
  kept[row][key % OF_TEAM][lane % EIGHTS / 2][at] = select(pair[0], pair[1], is_second);
  kept[row][key % OF_TEAM][lane % EIGHTS / 2][at ^ 1] = select(pair[1], pair[0], is_second);
}

fn products(query: mat4x4f, key: vec4f, sums: vec4f) -> vec4f {
  return fma(query[0], vec4f(key.x), fma(query[1], vec4f(key.y), fma(query[2], vec4f(key.z), fma(query[3], vec4f(key.w), sums))));
}

// What a neighbour's dimensions add to the scores of its four queries with a key.
fn score(query: Quarter, row: u32, key: u32, n: u32) -> vec4f {
  let sums = products(query.b, kept[row][key][1][n], products(query.a, kept[row][key][0][n], vec4f()));
  if (HEAD_DIM <= 32) { return sums; }
  return products(query.d, kept[row][key][3][n], products(query.c, kept[row][key][2][n], sums));
}

fn add(result: mat4x4f, value: vec4f, weights: vec4f) -> mat4x4f {
  return mat4x4f(fma(vec4f(weights.x), value, result[0]), fma(vec4f(weights.y), value, result[1]),
                 fma(vec4f(weights.z), value, result[2]), fma(vec4f(weights.w), value, result[3]));
}

// The results of eight queries with one more value. The neighbour is m = 4 * half + n.
fn gather(result: Eighth, row: u32, key: u32, half: u32, n: u32, weights: vec4f, more: vec4f) -> Eighth {
  let a = kept[row][key][half][n];
  if (HEAD_DIM <= 32) { return Eighth(add(result.a, a, weights), add(result.more_a, a, more), result.b, result.more_b); }
  let b = kept[row][key][2 + half][n];
  return Eighth(add(result.a, a, weights), add(result.more_a, a, more), add(result.b, b, weights), add(result.more_b, b, more));
}

fn scaled(result: mat4x4f, factors: vec4f) -> mat4x4f {
  return mat4x4f(result[0] * factors.x, result[1] * factors.y, result[2] * factors.z, result[3] * factors.w);
}

// Of four queries, the weights of four keys: a column for each key.
fn weights_of(row: u32, keys: u32, four: u32) -> mat4x4f {
  return transpose(mat4x4f(kept[row][keys][four][1], kept[row][keys][four][0], kept[row][keys][four][3], kept[row][keys][four][2]));
}

// HIDDEN in place of the scores of the keys at positions `keys` that the query at `position` does not see.
fn seen(scores: vec4f, keys: vec4u, position: u32) -> vec4f {
  return select(vec4f(HIDDEN), scores, (keys <= vec4u(position)) & (keys + WINDOW > vec4u(position)));
}

// What the teams' results for a query count for.
fn shares_of(query: u32) -> vec4f {
  let a = kept[0][query / 16][query / 4 % 4][query % 4];
  let b = kept[1][query / 16][query / 4 % 4][query % 4];
  let c = kept[2][query / 16][query / 4 % 4][query % 4];
  let d = kept[3][query / 16][query / 4 % 4][query % 4];
  let parts = exp(vec4f(a.x, b.x, c.x, d.x) - max(max(a.x, b.x), max(c.x, d.x)));
  return parts / dot(parts, vec4f(a.y, b.y, c.y, d.y));
}

// Joins the teams' results in eight vectors of four queries in eight, and stores one of them at `to`.
fn join(result: mat4x4f, lane: u32, shares: vec4f, to: u32, is_one: bool) {
  let n = lane % 4;
  let half = lane / 4 % 2;
  let row = lane / 32;
  let key = lane / 8 % 4 * 2;
  workgroupBarrier();
  kept[row][key][half][n] = result[0];
  kept[row][key][2 + half][n] = result[1];
  kept[row][key + 1][half][n] = result[2];
  kept[row][key + 1][2 + half][n] = result[3];
  workgroupBarrier();
  let first = lane / 128;
  let other = lane / 16 % 8;
  let four = lane / 4 % 4;
  let sum = shares.x * kept[first][other][four][n] + shares.y * kept[2 + first][other][four][n]
    + shares.z * kept[4 + first][other][four][n] + shares.w * kept[6 + first][other][four][n];
  if (is_one) { out[to] = sum; }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let shared_by = HEADS / KV_HEADS;
  let queries = params.rows * shared_by;
  let first_query = QUERIES * group.y;
  let newest = step.position + (min(first_query + QUERIES, queries) - 1) / shared_by;
  let first_position = step.position + first_query / shared_by;
  let oldest = first_position + 1 - min(first_position + 1, WINDOW);
  let team = lane / QUERIES;
  let values = TEAMS + team;
  let n = lane % 4;
  let order = vec4u(n, n ^ 1, n ^ 2, n ^ 3);
  let own = min(first_query + lane % QUERIES, queries - 1);
  let position = step.position + own / shared_by;
  // Where the four neighbours exchange: `early` has keys 0 to 3, `late` 4 to 6.
  let early = lane / 16 % 4;
  let late = early + 4;
  let four = lane / 4 % 4;
  let half = four % 2;

  let asked = first_query + lane % QUERIES - n + order;
  let at = n + vec4u(first_vector(min(asked.x, queries - 1), group.x), first_vector(min(asked.y, queries - 1), group.x),
                     first_vector(min(asked.z, queries - 1), group.x), first_vector(min(asked.w, queries - 1), group.x));
  let query = quarter(at, inverseSqrt(f32(HEAD_DIM)));
  var most = NOTHING;
  var sum = 0.0;
  var result = Eighth();
  let first = brought(oldest, newest, group.x, lane);
  var next_key = eight(first);
  var next_value = eight(first + KV_HEADS * EIGHTS);
  for (var base = oldest; base <= newest; base += TILE) {
    let next = brought(base + TILE, newest, group.x, lane);
    workgroupBarrier();
    keep(next_key, 0, lane);
    workgroupBarrier();
    next_key = eight(next);
    let s0 = score(query, team, 0, n);
    let s1 = score(query, team, 1, n);
    let s2 = score(query, team, 2, n);
    let s3 = score(query, team, 3, n);
    kept[values][early][four][n ^ 2] = vec4f(s0.zw, s1.zw);     // nobody reads these rows here
    kept[values][late][four][n ^ 2] = vec4f(s2.zw, s3.zw);
    let s4 = score(query, team, 4, n);
    let s5 = score(query, team, 5, n);
    let s6 = score(query, team, 6, n);
    workgroupBarrier();
    kept[team][early][four][n ^ 2] = vec4f(s4.zw, s5.zw);
    kept[team][late][four][n ^ 2] = vec4f(s6.zw, 0, 0);
    workgroupBarrier();
    let of_01 = vec4f(s0.xy, s1.xy) + kept[values][early][four][n];
    let of_23 = vec4f(s2.xy, s3.xy) + kept[values][late][four][n];
    let of_45 = vec4f(s4.xy, s5.xy) + kept[team][early][four][n];
    let of_6 = s6.xy + kept[team][late][four][n].xy;
    // Only this invocation has read these two places, so it may write there at once; the same below.
    kept[team][early][four][n] = vec4f(of_01.yw, of_23.yw);
    kept[team][late][four][n] = vec4f(of_45.yw, of_6.y, 0);
    workgroupBarrier();
    let keys = base + team * OF_TEAM + vec4u(0, 1, 2, 3);
    let early_scores = seen(vec4f(of_01.xz, of_23.xz) + kept[team][early][four][n ^ 1], keys, position);
    let late_scores = seen(vec4f(of_45.xz, of_6.x, 0) + kept[team][late][four][n ^ 1], keys + 4, position).xyz;
    let before = most;
    let higher = max(early_scores, vec4f(late_scores, before));
    most = max(max(higher.x, higher.y), max(higher.z, higher.w));
    let factor = exp(before - most);
    let early_weights = exp(early_scores - most);
    let late_weights = exp(late_scores - most);
    sum = sum * factor + dot(early_weights, vec4f(1)) + dot(late_weights, vec3f(1));
    kept[team][early][four][n ^ 1] = early_weights;
    kept[team][late][four][n ^ 1] = vec4f(late_weights, factor);
    keep(next_value, TEAMS, lane);
    workgroupBarrier();
    next_value = eight(next + KV_HEADS * EIGHTS);
    // The late keys first: with them are the factors, and these weights need no registers any more when the others come.
    let l = weights_of(team, late, four & 2);
    let more_l = weights_of(team, late, four | 1);
    result = Eighth(scaled(result.a, l[3]), scaled(result.more_a, more_l[3]),
                    scaled(result.b, l[3]), scaled(result.more_b, more_l[3]));
    result = gather(result, values, 4, half, n, l[0], more_l[0]);
    result = gather(result, values, 5, half, n, l[1], more_l[1]);
    result = gather(result, values, 6, half, n, l[2], more_l[2]);
    let e = weights_of(team, early, four & 2);
    let more_e = weights_of(team, early, four | 1);
    result = gather(result, values, 0, half, n, e[0], more_e[0]);
    result = gather(result, values, 1, half, n, e[1], more_e[1]);
    result = gather(result, values, 2, half, n, e[2], more_e[2]);
    result = gather(result, values, 3, half, n, e[3], more_e[3]);
  }

  workgroupBarrier();
  kept[team][early][four][n] = vec4f(most, sum, 0, 0);
  workgroupBarrier();
  // The queries of which this invocation stores vectors.
  let stored = lane / 32 * 8 + lane / 8 % 4;
  let of_stored = shares_of(stored);
  let of_more = shares_of(stored + 4);
  let to = first_vector(first_query + stored, group.x) + lane % 8;
  let to_more = first_vector(first_query + stored + 4, group.x) + lane % 8;
  let is_one = first_query + stored < queries;
  let is_more = first_query + stored + 4 < queries;
  join(result.a, lane, of_stored, to, is_one);
  join(result.more_a, lane, of_more, to_more, is_more);
  if (HEAD_DIM > 32) {
    join(result.b, lane, of_stored, to + 8, is_one);
    join(result.more_b, lane, of_more, to_more + 8, is_more);
  }
}
