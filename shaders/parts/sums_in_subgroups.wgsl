enable subgroups;
// parts/sums_in_subgroups: sums across SUBGROUP neighbours, without memory.
// `parts/sums_in_memory` has the same functions.
//
// WebGPU does not promise that neighbours by local index are neighbours in a subgroup, so app/voxtab/tuning.py checks
// that the results are right.

override SUBGROUP: u32 = 4;                 // a power of two, at most what every subgroup of the GPU has

// The sum over SUBGROUP neighbours; each of them gets it.
fn together(sum: vec4f) -> vec4f {
  var total = sum;
  for (var mask = 1u; mask < SUBGROUP; mask *= 2u) { total += subgroupShuffleXor(total, mask); }
  return total;
}

fn together_one(sum: f32) -> f32 {
  var total = sum;
  for (var mask = 1u; mask < SUBGROUP; mask *= 2u) { total += subgroupShuffleXor(total, mask); }
  return total;
}

// The largest value of four neighbours; the first one's index is a multiple of four. In uniform control flow.
fn largest_of_four(value: f32, local: u32) -> f32 {
  let two = max(value, subgroupShuffleXor(value, 1u));
  return max(two, subgroupShuffleXor(two, 2u));
}
