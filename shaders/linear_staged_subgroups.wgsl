// with sums_in_subgroups step gelu linear q4_0_dot linear_staged
// linear_staged_subgroups: `parts/linear_staged`, whose sums are added within subgroups as far as possible. Why this
// variant: subgroups need fewer barriers and less workgroup memory.
