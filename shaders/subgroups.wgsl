enable subgroups;
// subgroups: invocations whose sums meet without memory, as many neighbours at a time as every subgroup of the adapter has.
// That neighbours by local index are neighbours in a subgroup is not promised: `tuning` looks at a product's results.

override SUBGROUP: u32 = 4;                 // a power of two

// The sum over each `lanes` neighbours, a power of two and at most SUBGROUP.
fn together(sum: vec4f, lanes: u32) -> vec4f {
  var total = sum;
  for (var mask = 1u; mask < lanes; mask *= 2u) { total += subgroupShuffleXor(total, mask); }
  return total;
}

fn together_one(sum: f32, lanes: u32) -> f32 {
  var total = sum;
  for (var mask = 1u; mask < lanes; mask *= 2u) { total += subgroupShuffleXor(total, mask); }
  return total;
}

// The largest of four neighbours' values, from a multiple of four on. For all invocations together.
fn largest_of_four(value: f32, local: u32) -> f32 {
  let two = max(value, subgroupShuffleXor(value, 1u));
  return max(two, subgroupShuffleXor(two, 2u));
}
