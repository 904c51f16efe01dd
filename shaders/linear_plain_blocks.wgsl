// with step gelu linear block_types linear_plain
// linear_plain_blocks: `parts/linear_plain` for the types of parts/block_types.
