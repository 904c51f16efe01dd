// with step gelu
// conv: a causal convolution with three taps, and the exact GELU (spec 3).
//   out[t, o] = gelu(bias[o] + sum_{c, k} W[o, c, k] x[STRIDE t + k, c])
// The caller puts the rows that a block needs from before it in front of x. Output rows that lie before the stream's
// first one are zero, as the next convolution's padding is.
//
// x [STRIDE (rows - 1) + 3, inputs] f32; weights [outputs, inputs, 3] F32, F16 or BF16 as in the file;
// bias [outputs] f32; out [rows, outputs] f32. Grid: x, y over outputs, z over rows by ROWS. Precision: f32.
// LANES invocations share an output and divide its channels. With one lane there are no barriers, which are slow on
// software GPUs.
// It indexes a private array, which naga leaves in memory (shaders/README.md). That is allowed here, because the two
// convolutions are about 1 % of a step's weights and arithmetic (spec 11).
// uses: Step from parts/step; gelu from parts/gelu

override WORKGROUP: u32 = 64;
override LANES: u32 = 1;
override ROWS: u32 = 4;                     // at most 4
override STRIDE: u32 = 1;
override TYPE: u32 = 0;                     // of the weights: 0 F32, 1 F16, 2 BF16

struct Params { rows: u32, inputs: u32, outputs: u32, rows_per_position: u32, context: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<u32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

var<workgroup> partial: array<f32, WORKGROUP>;

fn weight(i: u32) -> f32 {
  if (TYPE == 0) { return bitcast<f32>(weights[i]); }
  let word = weights[i / 2];
  if (TYPE == 1) { return unpack2x16float(word)[i % 2]; }
  return bitcast<f32>(select(word << 16, word & 0xffff0000, i % 2 == 1));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let index = (group.x + group.y * groups.x) * (WORKGROUP / LANES) + local / LANES;
  let o = min(index, params.outputs - 1);
  let lane = local % LANES;
  let first = group.z * ROWS;
  var sums: array<f32, 4>;
  for (var c = lane; c < params.inputs; c += LANES) {
    let at = (o * params.inputs + c) * 3;
    let w = vec3f(weight(at), weight(at + 1), weight(at + 2));
    for (var m = 0u; m < ROWS; m++) {
      let from_row = STRIDE * min(first + m, params.rows - 1) * params.inputs + c;
      sums[m] += dot(w, vec3f(x[from_row], x[from_row + params.inputs], x[from_row + 2 * params.inputs]));
    }
  }
  for (var m = 0u; m < ROWS; m++) {
    var sum = sums[m];
    if (LANES > 1) {
      partial[local] = sum;
      workgroupBarrier();
      for (var half = LANES / 2; half > 0; half /= 2) {
        if (lane < half) { partial[local] += partial[local + half]; }
        workgroupBarrier();
      }
      sum = partial[local - lane];
      workgroupBarrier();
    }
    let row = first + m;
    if (lane == 0 && index < params.outputs && row < params.rows) {
      let before_stream = step.position * params.rows_per_position + row < params.context;
      out[row * params.outputs + o] = select(gelu(sum + bias[o]), 0, before_stream);
    }
  }
}
