// with step gelu linear types linear_tile
// linear_tile: `parts/linear_tile` for F32, F16, BF16 and Q4_0.
