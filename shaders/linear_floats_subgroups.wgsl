// with sums_in_subgroups step gelu linear types linear_floats
// linear_floats_subgroups: `parts/linear_floats`, whose sums are added within subgroups as far as possible. Why this variant:
// subgroups need less workgroup memory.
