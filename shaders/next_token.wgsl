// next_token: the tokens that a pass of ROWS rows makes; and the step goes on behind them, so that passes follow each other
// without the host. A row's prediction is the index of its largest logit, the lowest of equals; columns if none is a number,
// which is no token, and the host says so. Row i's is the token of
// position + i + 1 if the rows before it predicted what was drafted for those behind them.
//
// best [ROWS, runs] (value's bits, index) of `argmax`; tokens: ring of TOKENS ids by position, and behind it the position
// that the step came to; step is what the other kernels are bound to as a uniform. Grid: one workgroup, of ROWS at least.

override WORKGROUP: u32 = 64;
override TOKENS: u32 = 256;
override ROWS: u32 = 1;

struct Params { runs: u32, columns: u32, draft: u32 }
struct Step { position: u32, rotation: u32, capacity: u32, audio_row: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> best: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(3) var<storage, read_write> step: Step;

var<workgroup> highest: array<f32, ROWS * WORKGROUP>;
var<workgroup> where_highest: array<u32, ROWS * WORKGROUP>;
var<workgroup> predicted: array<u32, ROWS>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
  for (var m = 0u; m < ROWS; m++) {
    var value = -3.4e38;
    var index = params.columns;
    for (var i = lane; i < params.runs; i += WORKGROUP) {
      let run = best[m * params.runs + i];
      if (bitcast<f32>(run.x) > value) {    // runs come in order of their indices
        value = bitcast<f32>(run.x);
        index = run.y;
      }
    }
    highest[m * WORKGROUP + lane] = value;
    where_highest[m * WORKGROUP + lane] = index;
  }
  workgroupBarrier();
  if (lane < ROWS) {
    var value = -3.4e38;
    var index = params.columns;
    for (var i = lane * WORKGROUP; i < (lane + 1) * WORKGROUP; i += 4u) {  // four on their way at a time
      let four = vec4f(highest[i], highest[i + 1], highest[i + 2], highest[i + 3]);
      let at = vec4u(where_highest[i], where_highest[i + 1], where_highest[i + 2], where_highest[i + 3]);
      if (four.x > value || (four.x == value && at.x < index)) { value = four.x; index = at.x; }
      if (four.y > value || (four.y == value && at.y < index)) { value = four.y; index = at.y; }
      if (four.z > value || (four.z == value && at.z < index)) { value = four.z; index = at.z; }
      if (four.w > value || (four.w == value && at.w < index)) { value = four.w; index = at.w; }
    }
    predicted[lane] = index;
  }
  workgroupBarrier();
  if (lane > 0) { return; }
  var made = 1u;
  while (made < ROWS && predicted[made - 1] == params.draft) { made++; }
  for (var i = 0u; i < made; i++) { tokens[(step.position + i + 1) % TOKENS] = predicted[i]; }
  step.position += made;
  step.rotation += made;
  step.audio_row += made;
  tokens[TOKENS] = step.position;
}
