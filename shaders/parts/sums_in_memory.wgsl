// parts/sums_in_memory: sums across a workgroup, through workgroup memory.
// `parts/sums_in_subgroups` has the same functions.
//
// uses: WORKGROUP from parts/linear_staged or parts/linear_floats

const SUBGROUP = 1u;

var<workgroup> values: array<f32, WORKGROUP>;

fn together(sum: vec4f) -> vec4f { return sum; }
fn together_one(sum: f32) -> f32 { return sum; }

// The largest value of four neighbours; the first one's index is a multiple of four. In uniform control flow.
fn largest_of_four(value: f32, local: u32) -> f32 {
  workgroupBarrier();                       // until the former values have been read
  values[local] = value;
  workgroupBarrier();
  let first = local & ~3u;
  return max(max(values[first], values[first + 1]), max(values[first + 2], values[first + 3]));
}
