// with sums_in_memory step gelu linear q4_0_dot linear_staged
// linear_staged: `parts/linear_staged`, whose sums are added in workgroup memory. Why this variant: not every GPU has
// subgroups.
