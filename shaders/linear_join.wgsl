// with gelu
// linear_join: adds up what the SPLITS workgroups of `linear_tile` that share the columns of a tile made of it.
//   y[m, o] = sum_s sums[s, m, o] + bias[o];  out = y, gelu(y), or out += y, by ENDING as in parts/linear
//
// sums [SPLITS, rows, outputs] f32, bias [outputs] f32, out [rows, outputs] f32; outputs is a multiple of 4.
// Grid: x, y over four outputs of a row, one an invocation. Precision: f32.
// uses: gelu from parts/gelu

override WORKGROUP: u32 = 64;
override SPLITS: u32 = 4;
override BIAS: bool = false;
override ENDING: u32 = 0;                   // 0 STORE, 1 GELU, 2 ADD

struct Params { rows: u32, outputs: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let i = (group.x + group.y * groups.x) * WORKGROUP + local;
  let fours = params.outputs / 4;
  if (i >= params.rows * fours) { return; }
  var sum = sums[i];
  for (var split = 1u; split < SPLITS; split++) { sum += sums[split * params.rows * fours + i]; }
  if (BIAS) { sum += bias[i % fours]; }
  if (ENDING == 1) { sum = vec4f(gelu(sum.x), gelu(sum.y), gelu(sum.z), gelu(sum.w)); }
  if (ENDING == 2) { sum += out[i]; }
  out[i] = sum;
}
