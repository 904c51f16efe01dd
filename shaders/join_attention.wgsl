// join_attention: the runs of keys that `attention` took apart -> one result.
//   out[m, h] = sum_s w_s parts[m, h, s] / sum_s w_s,  w_s = sum_s exp(maximum_s - max_t maximum_t)
// with (maximum_s, sum_s) = runs[m, h, s]; runs without keys, whose sum is 0, weigh nothing and are not read.
//
// parts [rows * HEADS, SPLITS, HEAD_DIM], runs [rows * HEADS, SPLITS]; out [rows * HEADS, HEAD_DIM] f32.
// Grid: x over values. Precision: f32.

override WORKGROUP: u32 = 64;
override HEAD_DIM: u32 = 128;
override SPLITS: u32 = 8;

struct Params { values: u32 }               // rows * HEADS * HEAD_DIM

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read> runs: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.values) { return; }
  let head = id.x / HEAD_DIM;
  var highest = -3e38;
  for (var s = 0u; s < SPLITS; s++) { highest = max(highest, runs[head * SPLITS + s].x); }
  var sum = 0.0;
  var value = 0.0;
  for (var s = 0u; s < SPLITS; s++) {
    let run = runs[head * SPLITS + s];
    if (run.y > 0) {
      let weight = run.y * exp(run.x - highest);
      sum += weight;
      value += weight * parts[(head * SPLITS + s) * HEAD_DIM + id.x % HEAD_DIM];
    }
  }
  out[id.x] = value / sum;
}
