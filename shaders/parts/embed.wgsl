// parts/embed: the decoder's input (spec 6). The kernels `embed` and `embed_blocks` consist of it.
//   out[m, k] = audio[audio_row + m, k] + E[token, k],  token = that of position + m
// The token was written by `next_token` and never leaves the GPU; for rows from `known` on, the token is `draft`.
// E comes in parts, a dispatch for each: the part that holds the token's row writes, the others do nothing.
//
// audio [any, columns] f32; tokens: ring of TOKENS ids by position; weights, scales: `outputs` rows of E from
// first_output on, as parts/types or parts/block_types has them; out [rows, columns] f32. Grid: x over columns / 4, y rows. Precision: f32.
// uses: Step from parts/step; eight, word_of, scale_of from parts/types or parts/block_types

override WORKGROUP: u32 = 64;
override TYPE: u32 = 3;                     // of the weights
override TOKENS: u32 = 256;

struct Params { rows: u32, columns: u32, outputs: u32, first_output: u32, known: u32, draft: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> audio: array<vec4f>;
@group(0) @binding(3) var<storage, read> tokens: array<u32>;
@group(0) @binding(4) var<storage, read> weights: array<vec4u>;
@group(0) @binding(5) var<storage, read> scales: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<vec4f>;

// Values 4i..4i+3 of this part of E, counted from its first row.
fn weights4(i: u32) -> vec4f {
  let block = i / 8;
  let eight_of = eight(block, i % 4, word_of(block, i % 4)) * scale_of(block);
  return select(eight_of[0], eight_of[1], i % 8 >= 4);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let width = params.columns / 4;
  let token = select(params.draft, tokens[(step.position + id.y) % TOKENS], id.y < params.known);
  if (id.x >= width || token < params.first_output || token >= params.first_output + params.outputs) { return; }
  out[id.y * width + id.x] = audio[(step.audio_row + id.y) * width + id.x]
                           + weights4((token - params.first_output) * width + id.x);
}
