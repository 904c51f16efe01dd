enable subgroups;
// parts/sums_in_subgroups: invocations whose sums meet without memory, SUBGROUP neighbours at a time.
// That neighbours by local index are neighbours in a subgroup is not promised: `tuning` looks at a product's results.

override SUBGROUP: u32 = 4;                 // a power of two, at most what every subgroup of the adapter has

// The sum over each SUBGROUP neighbours.
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

// The largest of four neighbours' values, from a multiple of four on. For all invocations together.
fn largest_of_four(value: f32, local: u32) -> f32 {
  let two = max(value, subgroupShuffleXor(value, 1u));
  return max(two, subgroupShuffleXor(two, 2u));
}
