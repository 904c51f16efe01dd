// with sums_in_subgroups step gelu linear q4_0_dot linear_staged
// linear_staged_subgroups: `parts/linear_staged`, whose sums meet within subgroups, as far as these reach. Why this
// variant: subgroups need fewer barriers and less workgroup memory.
