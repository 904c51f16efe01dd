// attention_join: the runs of keys that `attention` took apart -> one result.
//   out[m, h] = sum_s w_s parts[m, h, s] / sum_s w_s,  w_s = sum_s exp(maximum_s - max_t maximum_t)
// with (maximum_s, sum_s) = runs[m, h, s]; runs without keys, whose sum is 0, were not written and weigh nothing.
//
// parts [rows * HEADS, SPLITS, HEAD_DIM], runs [rows * HEADS, SPLITS]; out [rows * HEADS, HEAD_DIM] f32.
// Grid: x, y over rows and heads, a workgroup each. A team of HEAD_DIM / 4 invocations takes every TEAMS-th run; its first
// one's part is on its way before the runs are known. Precision: f32.

override WORKGROUP: u32 = 256;
override HEAD_DIM: u32 = 128;
override SPLITS: u32 = 16;

override VECTORS: u32 = HEAD_DIM / 4;
override TEAMS: u32 = WORKGROUP / VECTORS;

struct Params { heads: u32 }                // rows * HEADS

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parts: array<vec4f>;
@group(0) @binding(2) var<storage, read> runs: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;

var<workgroup> runs_here: array<vec2f, SPLITS + 3>;
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
  var next = parts[(first + min(team, SPLITS - 1)) * VECTORS + vector];
  for (var s = lane; s < SPLITS + 3; s += WORKGROUP) { runs_here[s] = runs[first + min(s, SPLITS - 1)]; }
  workgroupBarrier();
  var highest = runs_here[0].x;
  for (var s = 0u; s < SPLITS; s += 4u) {
    highest = max(max(highest, runs_here[s].x), max(max(runs_here[s + 1].x, runs_here[s + 2].x), runs_here[s + 3].x));
  }
  var weight = 0.0;
  var value = vec4f();
  for (var s = team; s < SPLITS; s += TEAMS) {
    let part = next;
    next = parts[(first + min(s + TEAMS, SPLITS - 1)) * VECTORS + vector];
    let run = runs_here[s];
    let w = exp(run.x - highest) * run.y;
    weight += w;
    value += select(vec4f(), w * part, run.y > 0);
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
