// with step
// next_token: the tokens that a pass of ROWS rows makes; and the step moves on past them, so that the next pass can
// follow without the host.
//   predicted[i] = argmax of row i's logits, the lowest of equals; `columns` if all are NaN
// It is the token of position + i + 1 if every row before i predicted the draft of the row after it. `columns` is not a
// token, so the host sees that the model's numbers are invalid.
//
// best [ROWS, runs] (value's bits, index) of `argmax`; tokens: ring of TOKENS ids by position, and after it, at TOKENS,
// the position that the step reached; step: other kernels are bound to it as a uniform. Grid: one workgroup, of ROWS
// invocations at least. Precision: exact.
// uses: Step from parts/step

override WORKGROUP: u32 = 64;
override TOKENS: u32 = 256;
override ROWS: u32 = 1;

struct Params { runs: u32, columns: u32, draft: u32 }

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
    for (var i = lane * WORKGROUP; i < (lane + 1) * WORKGROUP; i += 4u) {  // four loads under way at a time
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
