// with sums_in_subgroups gelu linear q4_0_dot linear_staged
// linear_staged_subgroups: `parts/linear_staged`, whose sums meet in subgroups, as far as these reach.
