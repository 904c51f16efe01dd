// attention_join: the results of `attention`'s splits -> one result.
//   out[m, h] = sum_s w_s split_results[m, h, s] / sum_s w_s,  w_s = exp(maximum_s - max_t maximum_t) sum_s
// with (maximum_s, sum_s) = split_sums[m, h, s]. Splits without keys have the sum 0; their results were not written.
//
// split_results [rows * HEADS, SPLITS, HEAD_DIM] f32, split_sums [rows * HEADS, SPLITS] two f32;
// out [rows * HEADS, HEAD_DIM] f32.
// Grid: x, y over rows and heads, a workgroup for each, an invocation for each dimension. Precision: f32.
// An invocation reads all that it needs of 16 splits before it waits for any of it, and never for another invocation.

override WORKGROUP: u32 = 128;             // as many as HEAD_DIM
override HEAD_DIM: u32 = 128;
override SPLITS: u32 = 16;

const NOTHING = -1e30;                      // below any score

struct Params { heads: u32 }                // rows * HEADS

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> split_results: array<f32>;
@group(0) @binding(2) var<storage, read> split_sums: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

struct Four { highest: vec4f, sums: vec4f, results: vec4f }

// Splits s..s+3 of a head; those past the end have the sum 0.
fn four(head: u32, s: u32, dimension: u32) -> Four {
  let splits = head * SPLITS + min(vec4u(s, s + 1, s + 2, s + 3), vec4u(SPLITS - 1));
  let a = split_sums[splits.x];
  let b = split_sums[splits.y];
  let c = split_sums[splits.z];
  let d = split_sums[splits.w];
  let at = splits * HEAD_DIM + dimension;
  let results = vec4f(split_results[at.x], split_results[at.y], split_results[at.z], split_results[at.w]);
  let there = s + vec4u(0, 1, 2, 3) < vec4u(SPLITS);
  return Four(vec4f(a.x, b.x, c.x, d.x), select(vec4f(), vec4f(a.y, b.y, c.y, d.y), there), results);
}

fn weighed(splits: Four, weights: vec4f) -> vec4f { return select(vec4f(), weights * splits.results, splits.sums > vec4f()); }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) dimension: u32) {
  let head = group.x + group.y * groups.x;
  if (head >= params.heads) { return; }
  var highest = NOTHING;
  var weight = 0.0;
  var value = 0.0;
  for (var s = 0u; s < SPLITS; s += 16u) {
    let a = four(head, s, dimension);
    let b = four(head, s + 4, dimension);
    let c = four(head, s + 8, dimension);
    let d = four(head, s + 12, dimension);
    let highests = max(max(a.highest, b.highest), max(c.highest, d.highest));
    let before = highest;
    highest = max(before, max(max(highests.x, highests.y), max(highests.z, highests.w)));
    let factor = exp(before - highest);
    let wa = exp(a.highest - highest) * a.sums;
    let wb = exp(b.highest - highest) * b.sums;
    let wc = exp(c.highest - highest) * c.sums;
    let wd = exp(d.highest - highest) * d.sums;
    weight = factor * weight + dot(wa + wb + wc + wd, vec4f(1));
    value = factor * value + dot(weighed(a, wa) + weighed(b, wb) + weighed(c, wc) + weighed(d, wd), vec4f(1));
  }
  out[head * HEAD_DIM + dimension] = value / weight;
}
