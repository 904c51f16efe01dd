// conv_taps: a convolution's weights [outputs, inputs, 3] -> [outputs, 3, inputs], so that `parts/linear` can multiply them with
// three rows of x that follow each other. While loading.
//
// raw, out: values, with HALF two a word; `count` words of out from word `first` on, whole rows of outputs. With HALF, inputs
// is even. Grid: x, y over words. Precision: exact.

override WORKGROUP: u32 = 64;
override HALF: bool = false;                // F16 and BF16

struct Params { count: u32, first: u32, inputs: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> raw: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

// Where value i of out lies in raw.
fn source_of(i: u32) -> u32 {
  let in_row = i % (3 * params.inputs);
  return i - in_row + 3 * (in_row % params.inputs) + in_row / params.inputs;
}

fn half_at(i: u32) -> u32 { return (raw[i / 2] >> (16 * (i & 1))) & 0xffff; }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let i = (group.x + group.y * groups.x) * WORKGROUP + local;
  if (i >= params.count) { return; }
  if (HALF) {
    out[params.first + i] = half_at(source_of(2 * i)) | (half_at(source_of(2 * i + 1)) << 16);
  } else {
    out[params.first + i] = raw[source_of(i)];
  }
}
