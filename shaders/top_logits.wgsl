// with step
// top_logits: the largest logits of each row, and the sum that makes probabilities of them.
//   top[p] = TOP times (index, value's bits), the largest first, of equals the lowest index; then the bits of
//   log(sum_i exp(logits[m, i])), p = the position whose token row m predicts
// A probability is exp(value - that sum). Only a stream that asks for alternatives runs it; before `next_token`, which
// moves the step on.
//
// logits [rows, columns] f32; step; top: ring of TOKENS positions, 2 TOP + 1 u32 each. Grid: x rows. Precision: values
// exact, the sum f32. A NaN is never among the largest; where there are too few others, an index is `columns`.
// uses: Step from parts/step

override WORKGROUP: u32 = 256;
override TOKENS: u32 = 256;
const TOP = 4u;

struct Params { columns: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> top: array<u32>;

const LEAST = -3.4e38;

var<workgroup> values: array<f32, WORKGROUP>;
var<workgroup> places: array<u32, WORKGROUP>;
var<workgroup> best: f32;
var<workgroup> best_place: u32;

// Sets `best` and `best_place` to the largest of all lanes' values.
fn reduce(lane: u32, value: f32, place: u32) {
  values[lane] = value;
  places[lane] = place;
  workgroupBarrier();
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    if (lane < half) {
      let other = values[lane + half];
      if (other > values[lane] || (other == values[lane] && places[lane + half] < places[lane])) {
        values[lane] = other;
        places[lane] = places[lane + half];
      }
    }
    workgroupBarrier();
  }
  if (lane == 0) {
    best = values[0];
    best_place = places[0];
  }
  workgroupBarrier();
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * params.columns;
  // This lane's largest, the largest first.
  var own = vec4f(LEAST);
  var own_places = vec4u(params.columns);
  for (var i = lane; i < params.columns; i += WORKGROUP) {      // in order of the indices
    let value = logits[first + i];
    if (value > own.x) {
      own = vec4f(value, own.xyz);
      own_places = vec4u(i, own_places.xyz);
    } else if (value > own.y) {
      own = vec4f(own.x, value, own.yz);
      own_places = vec4u(own_places.x, i, own_places.yz);
    } else if (value > own.z) {
      own = vec4f(own.xy, value, own.z);
      own_places = vec4u(own_places.xy, i, own_places.z);
    } else if (value > own.w) {
      own.w = value;
      own_places.w = i;
    }
  }
  let slot = (step.position + group.x + 1) % TOKENS * (2 * TOP + 1);
  var largest = LEAST;
  for (var rank = 0u; rank < TOP; rank++) {
    reduce(lane, own.x, own_places.x);
    let place = workgroupUniformLoad(&best_place);
    if (rank == 0) { largest = workgroupUniformLoad(&best); }
    if (lane == 0) {
      top[slot + 2 * rank] = place;
      top[slot + 2 * rank + 1] = bitcast<u32>(best);
    }
    if (own_places.x == place) {      // the next of this lane
      own = vec4f(own.yzw, LEAST);
      own_places = vec4u(own_places.yzw, params.columns);
    }
    workgroupBarrier();
  }
  var sum = 0.0;
  for (var i = lane; i < params.columns; i += WORKGROUP) { sum += exp(logits[first + i] - largest); }
  values[lane] = sum;
  workgroupBarrier();
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    if (lane < half) { values[lane] += values[lane + half]; }
    workgroupBarrier();
  }
  if (lane == 0) { top[slot + 2 * TOP] = bitcast<u32>(largest + log(values[0])); }
}
