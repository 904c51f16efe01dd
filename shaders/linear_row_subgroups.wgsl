// with subgroups gelu product packed row
// linear_row_subgroups: `row`, whose sums meet in subgroups, as far as these reach.
