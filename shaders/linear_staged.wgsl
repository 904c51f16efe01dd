// with sums_in_memory step gelu linear types dot linear_staged q4_0_dot
// linear_staged: `parts/linear_staged` for Q4_0, whose sums are added in workgroup memory. Why this variant: not every GPU has
// subgroups.
