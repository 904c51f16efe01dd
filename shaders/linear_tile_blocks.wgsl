// with step gelu linear block_types linear_tile
// linear_tile_blocks: `parts/linear_tile` for the types of parts/block_types.
