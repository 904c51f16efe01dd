// rms_norm: out[m, k] = gain[k] x[m, k] / sqrt(mean_k x[m, k]^2 + EPSILON)
//
// x, out [rows, columns] f32; gain [columns] f32. Grid: a workgroup for each row. Precision: f32.
// Why a kernel of its own: elsewhere a norm is part of the linear kernel after it. This one ends the encoder, whose
// states are joined by fours for the adapter's first matrix.

override WORKGROUP: u32 = 64;
override EPSILON: f32 = 1e-5;

struct Params { rows: u32, columns: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

var<workgroup> partial: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = group.x * params.columns;
  var sum = 0.0;
  for (var k = lane; k < params.columns; k += WORKGROUP) { sum += x[at + k] * x[at + k]; }
  partial[lane] = sum;
  workgroupBarrier();
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    if (lane < half) { partial[lane] += partial[lane + half]; }
    workgroupBarrier();
  }
  let scale = inverseSqrt(partial[0] / f32(params.columns) + EPSILON);
  for (var k = lane; k < params.columns; k += WORKGROUP) { out[at + k] = gain[k] * x[at + k] * scale; }
}
