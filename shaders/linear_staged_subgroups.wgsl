// with subgroups gelu product packed staged
// linear_staged_subgroups: `staged`, whose sums meet in subgroups, as far as these reach.
