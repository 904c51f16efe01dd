// with step gelu linear types linear_plain
// linear_plain: `parts/linear_plain` for F32, F16, BF16 and Q4_0.
