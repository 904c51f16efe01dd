// with step block_types embed
// embed_blocks: `parts/embed` for the types of parts/block_types.
