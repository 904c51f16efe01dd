// with sums_in_subgroups step gelu linear block_types dot linear_staged blocks_dot
// linear_staged_subgroups_blocks: `parts/linear_staged` for the types of parts/block_types, whose sums are added within subgroups as far as possible. Why this
// variant: subgroups need fewer barriers and less workgroup memory.
