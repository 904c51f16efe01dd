// with alone gelu product packed staged
// linear_staged: `staged`, whose sums meet in workgroup memory.
