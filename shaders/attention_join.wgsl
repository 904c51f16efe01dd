// attention_join: the results of `attention`'s splits -> one result.
//   out[m, h] = sum_s w_s split_results[m, h, s] / sum_s w_s,  w_s = exp(maximum_s - max_t maximum_t) sum_s
// with (maximum_s, sum_s) = split_sums[m, h, s]. Splits without keys have the sum 0; their results were not written.
//
// split_results [rows * HEADS, SPLITS, HEAD_DIM] f32, split_sums [rows * HEADS, SPLITS] two f32;
// out [rows * HEADS, HEAD_DIM] f32.
// Grid: x, y over rows and heads, a workgroup for each. Precision: f32.
// A team of HEAD_DIM / 4 invocations takes every TEAMS-th split; its first split's result is under way before the sums
// are known.

override WORKGROUP: u32 = 256;
override HEAD_DIM: u32 = 128;
override SPLITS: u32 = 16;

override VECTORS: u32 = HEAD_DIM / 4;
override TEAMS: u32 = WORKGROUP / VECTORS;

struct Params { heads: u32 }                // rows * HEADS

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> split_results: array<vec4f>;
@group(0) @binding(2) var<storage, read> split_sums: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;

var<workgroup> sums_here: array<vec2f, SPLITS + 3>;
var<workgroup> weighed: array<vec4f, WORKGROUP>;    // by team
var<workgroup> weights: array<f32, TEAMS>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let head = group.x + group.y * groups.x;
  if (head >= params.heads) { return; }
  let first = head * SPLITS;
  let team = lane / VECTORS;
  let vector = lane % VECTORS;
  var next = split_results[(first + min(team, SPLITS - 1)) * VECTORS + vector];
  for (var s = lane; s < SPLITS + 3; s += WORKGROUP) { sums_here[s] = split_sums[first + min(s, SPLITS - 1)]; }
  workgroupBarrier();
  var highest = sums_here[0].x;
  for (var s = 0u; s < SPLITS; s += 4u) {
    highest = max(max(highest, sums_here[s].x), max(max(sums_here[s + 1].x, sums_here[s + 2].x), sums_here[s + 3].x));
  }
  var weight = 0.0;
  var value = vec4f();
  for (var s = team; s < SPLITS; s += TEAMS) {
    let result = next;
    next = split_results[(first + min(s + TEAMS, SPLITS - 1)) * VECTORS + vector];
    let split = sums_here[s];
    let w = exp(split.x - highest) * split.y;
    weight += w;
    value += select(vec4f(), w * result, split.y > 0);
  }
  weighed[lane] = value;
  if (vector == 0) { weights[team] = weight; }
  workgroupBarrier();
  if (lane >= VECTORS) { return; }
  var weight_of_all = 0.0;
  var value_of_all = vec4f();
  for (var t = 0u; t < TEAMS; t++) {
    weight_of_all += weights[t];
    value_of_all += weighed[t * VECTORS + lane];
  }
  out[head * VECTORS + lane] = value_of_all / weight_of_all;
}
