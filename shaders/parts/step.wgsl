// parts/step: where a step is. `pack_step` in app/voxtab/gpu/kernels.py writes it; `next_token` moves it on.
//
// position: of the step's first row, in states in the encoder and in tokens in the decoder
// rotation: the position that RoPE sees there
// capacity: slots of the ring of keys and values
// audio_row: the first row's audio embedding, as a row of the block's

struct Step { position: u32, rotation: u32, capacity: u32, audio_row: u32 }
