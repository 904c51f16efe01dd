// argmax: tokens[(position + 1 + m) % TOKENS] = the index of logits[m]'s largest value; the lowest of equals.
//
// logits [rows, columns] f32; tokens: ring of ids by position. Grid: one workgroup a row.

override WORKGROUP: u32 = 256;
override TOKENS: u32 = 256;

struct Params { rows: u32, columns: u32 }
struct Step { position: u32, rotation: u32, capacity: u32, audio_row: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> tokens: array<u32>;

var<workgroup> highest: array<f32, WORKGROUP>;
var<workgroup> where_highest: array<u32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = group.x * params.columns;
  var best = -3.4e38;
  var index = params.columns;
  for (var i = lane; i < params.columns; i += WORKGROUP) {
    if (logits[at + i] > best) {
      best = logits[at + i];
      index = i;
    }
  }
  highest[lane] = best;
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
  if (lane == 0) { tokens[(step.position + 1 + group.x) % TOKENS] = min(where_highest[0], params.columns - 1); }
}
