// join_attention: the runs of keys that `attention` took apart -> one result.
//   out[m, h] = sum_s w_s parts[m, h, s] / sum_s w_s,  w_s = sum_s exp(maximum_s - max_t maximum_t)
// with (maximum_s, sum_s) = runs[m, h, s]; runs without keys, whose sum is 0, weigh nothing and are not read.
//
// parts [rows * HEADS, SPLITS, HEAD_DIM], runs [rows * HEADS, SPLITS]; out [rows * HEADS, HEAD_DIM] f32.
// Grid: x, y over rows and heads, a workgroup each. Precision: f32.

override WORKGROUP: u32 = 64;
override HEAD_DIM: u32 = 128;
override SPLITS: u32 = 32;

struct Params { heads: u32 }                // rows * HEADS

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read> runs: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

var<workgroup> weights: array<f32, SPLITS + 3>;

fn part(split: u32, d: u32) -> f32 { return parts[split * HEAD_DIM + d]; }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let head = group.x + group.y * groups.x;
  if (head >= params.heads) { return; }
  let first = head * SPLITS;
  var highest = -3e38;
  for (var s = 0u; s < SPLITS; s += 4u) {
    highest = max(highest, max(max(runs[first + s].x, runs[first + min(s + 1, SPLITS - 1)].x),
                               max(runs[first + min(s + 2, SPLITS - 1)].x, runs[first + min(s + 3, SPLITS - 1)].x)));
  }
  for (var s = lane; s < SPLITS + 3; s += WORKGROUP) {
    let run = runs[first + min(s, SPLITS - 1)];
    weights[s] = select(0, exp(run.x - highest) * run.y, s < SPLITS);
  }
  workgroupBarrier();
  // Runs without keys come last: their parts were not written.
  for (var d = lane; d < HEAD_DIM; d += WORKGROUP) {
    var sum = 0.0;
    var value = 0.0;
    for (var s = 0u; s < SPLITS && weights[s] > 0; s += 4u) {
      let w = vec4f(weights[s], weights[s + 1], weights[s + 2], weights[s + 3]);
      let at = first + s;
      let last = first + SPLITS - 1;
      let four = vec4f(part(at, d), part(min(at + 1, last), d), part(min(at + 2, last), d), part(min(at + 3, last), d));
      sum += w.x + w.y + w.z + w.w;
      value += dot(w, select(vec4f(0), four, w > vec4f(0)));
    }
    out[head * HEAD_DIM + d] = value / sum;
  }
}
