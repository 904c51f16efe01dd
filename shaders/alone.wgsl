// alone: invocations whose sums meet in workgroup memory only. See `subgroups`.

const SUBGROUP = 1u;

fn together(sum: vec4f, lanes: u32) -> vec4f { return sum; }
fn together_one(sum: f32, lanes: u32) -> f32 { return sum; }
