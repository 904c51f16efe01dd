// with alone gelu product packed row
// linear_row: `row`, whose sums meet in workgroup memory.
