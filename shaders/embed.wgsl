// with step types embed
// embed: `parts/embed` for F32, F16, BF16 and Q4_0.
