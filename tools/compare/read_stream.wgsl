// Reads a range of x once and sums it: how fast can a GPU read memory? For tools/compare/read_stream.py.
//   out[group] = sum over i in first .. first + count, i % invocations in this workgroup, of x[i] . (1, 1, 1, 1)
//   x [vec4s] f32, first and count in vec4s; out [workgroups] f32
// Grid: any number of workgroups in x. Precision: f32; exact for small integers.
// With FILL, x is an output: x[i] = (i % 4, 0, 0, 1).
override WORKGROUP: u32 = 256;
override FILL: bool = false;

struct Params { first: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

var<workgroup> sums: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_id) local: vec3u,
        @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let invocations = groups.x * WORKGROUP;
  let end = params.first + params.count;
  if (FILL) {
    for (var i = params.first + id.x; i < end; i += invocations) {
      x[i] = vec4f(f32(i % 4u), 0, 0, 1);
    }
    return;
  }
  var sum = vec4f();
  for (var i = params.first + id.x; i < end; i += invocations) {
    sum += x[i];
  }
  sums[local.x] = dot(sum, vec4f(1));
  workgroupBarrier();
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    if (local.x < half) {
      sums[local.x] += sums[local.x + half];
    }
    workgroupBarrier();
  }
  if (local.x == 0) {
    out[group.x] = sums[0];
  }
}
