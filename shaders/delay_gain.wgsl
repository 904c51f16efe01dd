// delay_gain: out[i] = norm[i] * (1 + ada[i]): the delay's condition, folded into the FFN norm's gain (spec 6.2).
//
// norm, ada, out [columns] f32. Grid: x over columns. Precision: f32.
// Why a kernel of its own: it runs only when the delay changes, and a step then costs nothing for the delay.

override WORKGROUP: u32 = 64;

struct Params { columns: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> norm: array<f32>;
@group(0) @binding(2) var<storage, read> ada: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.columns) { out[id.x] = norm[id.x] * (1 + ada[id.x]); }
}
