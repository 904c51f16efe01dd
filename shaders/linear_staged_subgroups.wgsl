// with sums_in_subgroups step gelu linear types dot linear_staged q4_0_dot
// linear_staged_subgroups: `parts/linear_staged` for Q4_0, whose sums are added within subgroups as far as possible. Why this
// variant: subgroups need fewer barriers and less workgroup memory.
