// to_f32: norm gains and biases that a file keeps in F16 or BF16 -> f32. While loading.
//
// raw: values, two a word; out [count] f32 from `first` on. Grid: x over values. Precision: exact.

override WORKGROUP: u32 = 64;
override TYPE: u32 = 1;                     // of the source: 1 F16, 2 BF16

struct Params { count: u32, first: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> raw: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.count) { return; }
  let word = raw[id.x / 2];
  var value = bitcast<f32>(select(word << 16, word & 0xffff0000, id.x % 2 == 1));
  if (TYPE == 1) { value = unpack2x16float(word)[id.x % 2]; }
  out[params.first + id.x] = value;
}
