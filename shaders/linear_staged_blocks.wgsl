// with sums_in_memory step gelu linear block_types dot linear_staged blocks_dot
// linear_staged_blocks: `parts/linear_staged` for the types of parts/block_types, whose sums are added in workgroup memory. Why this variant: not every GPU has
// subgroups.
