// next_token: tokens[(position + 1) % TOKENS] = the index of the largest logit, the lowest of equals; and the step goes on
// to the next position, so that steps follow each other without the host.
//
// best [runs] (value's bits, index) of `argmax`; tokens: ring of ids by position; step is what the other kernels are
// bound to as a uniform. Grid: one workgroup.

override WORKGROUP: u32 = 64;
override TOKENS: u32 = 256;

struct Params { runs: u32, columns: u32 }
struct Step { position: u32, rotation: u32, capacity: u32, audio_row: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> best: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(3) var<storage, read_write> step: Step;

var<workgroup> highest: array<f32, WORKGROUP>;
var<workgroup> where_highest: array<u32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
  var value = -3.4e38;
  var index = params.columns;
  for (var i = lane; i < params.runs; i += WORKGROUP) {
    let run = best[i];
    if (bitcast<f32>(run.x) > value) {      // runs come in order of their indices
      value = bitcast<f32>(run.x);
      index = run.y;
    }
  }
  highest[lane] = value;
  where_highest[lane] = index;
  workgroupBarrier();
  if (lane > 0) { return; }
  for (var i = 1u; i < WORKGROUP; i++) {
    if (highest[i] > value || (highest[i] == value && where_highest[i] < index)) {
      value = highest[i];
      index = where_highest[i];
    }
  }
  step.position += 1;
  step.rotation += 1;
  step.audio_row += 1;
  tokens[step.position % TOKENS] = min(index, params.columns - 1);
}
