// argmax: the largest of each run of RUN logits, with its index; of equals, the lowest index.
//   best[m, r] = max_i logits[m, RUN r + i] and its index. `next_token` then takes the largest of a row's runs.
//
// logits [rows, columns] f32; best [rows, runs] (the value's bits, the index).
// Grid: x runs, y rows. Precision: exact. A NaN is never the largest: a run of NaN alone has the index `columns`.
// Why runs: with a workgroup for each, many workgroups read one row of logits.

override WORKGROUP: u32 = 256;
override RUN: u32 = 2048;

struct Params { rows: u32, columns: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> best: array<vec2u>;

var<workgroup> highest: array<f32, WORKGROUP>;
var<workgroup> where_highest: array<u32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let end = min((group.x + 1) * RUN, params.columns);
  var value = -3.4e38;
  var index = params.columns;
  let first = group.y * params.columns;
  for (var i = group.x * RUN + lane; i < end; i += 4 * WORKGROUP) {       // four loads under way at a time
    let at = vec4u(i, i + WORKGROUP, i + 2 * WORKGROUP, i + 3 * WORKGROUP);
    let place = first + min(at, vec4u(end - 1));
    let four = vec4f(logits[place.x], logits[place.y], logits[place.z], logits[place.w]);
    if (four.x > value) { value = four.x; index = at.x; }
    if (four.y > value && at.y < end) { value = four.y; index = at.y; }
    if (four.z > value && at.z < end) { value = four.z; index = at.z; }
    if (four.w > value && at.w < end) { value = four.w; index = at.w; }
  }
  highest[lane] = value;
  where_highest[lane] = index;
  workgroupBarrier();
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    if (lane < half) {
      let other = highest[lane + half];
      let other_index = where_highest[lane + half];
      if (other > highest[lane] || (other == highest[lane] && other_index < where_highest[lane])) {
        highest[lane] = other;
        where_highest[lane] = other_index;
      }
    }
    workgroupBarrier();
  }
  if (lane == 0) { best[group.y * groups.x + group.x] = vec2u(bitcast<u32>(highest[0]), where_highest[0]); }
}
