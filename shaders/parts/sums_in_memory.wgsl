// parts/sums_in_memory: invocations whose sums meet in workgroup memory only. See `parts/sums_in_subgroups`.

const SUBGROUP = 1u;

var<workgroup> values: array<f32, WORKGROUP>;

fn together(sum: vec4f) -> vec4f { return sum; }
fn together_one(sum: f32) -> f32 { return sum; }

// The largest of four neighbours' values, from a multiple of four on. For all invocations together.
fn largest_of_four(value: f32, local: u32) -> f32 {
  workgroupBarrier();                       // the last ones are read
  values[local] = value;
  workgroupBarrier();
  let first = local & ~3u;
  return max(max(values[first], values[first + 1]), max(values[first + 2], values[first + 3]));
}
