// with sums_in_memory step gelu linear types linear_floats
// linear_floats: `parts/linear_floats`, whose sums are added in workgroup memory. Why this variant: not every GPU has subgroups.
