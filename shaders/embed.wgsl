// with step
// embed: the decoder's input (spec 6).
//   out[m, k] = audio[audio_row + m, k] + E[token, k],  token = that of position + m
// The token was written by `next_token` and never leaves the GPU; for rows from `known` on, the token is `draft`.
// E comes in parts, a dispatch for each: the part that holds the token's row writes, the others do nothing.
//
// audio [any, columns] f32; tokens: ring of TOKENS ids by position; weights, scales: `outputs` rows of E from
// first_output on, as in `parts/linear`; out [rows, columns] f32. Grid: x over columns / 4, y rows. Precision: f32.
// uses: Step from parts/step

override WORKGROUP: u32 = 64;
override TYPE: u32 = 3;                     // of the weights: 0 F32, 1 F16, 2 BF16, 3 Q4_0
override TOKENS: u32 = 256;

struct Params { rows: u32, columns: u32, outputs: u32, first_output: u32, known: u32, draft: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> audio: array<vec4f>;
@group(0) @binding(3) var<storage, read> tokens: array<u32>;
@group(0) @binding(4) var<storage, read> weights: array<u32>;
@group(0) @binding(5) var<storage, read> scales: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<vec4f>;

// Values 4i..4i+3 of this part of E, counted from its first row.
fn weights4(i: u32) -> vec4f {
  if (TYPE == 3) {
    let block = i / 8;
    // A block's second half is in the high nibbles.
    let word = weights[block * 4 + i % 4] >> (i % 8 / 4 * 4);
    let scale = unpack2x16float(scales[block / 2])[block % 2];
    return scale * (vec4f(vec4u(word, word >> 8, word >> 16, word >> 24) & vec4u(15)) - 8);
  }
  if (TYPE == 0) {
    return bitcast<vec4f>(vec4u(weights[4 * i], weights[4 * i + 1], weights[4 * i + 2], weights[4 * i + 3]));
  }
  let words = vec2u(weights[2 * i], weights[2 * i + 1]);
  if (TYPE == 1) { return vec4f(unpack2x16float(words.x), unpack2x16float(words.y)); }
  return bitcast<vec4f>(vec4u(words.x << 16, words.x & 0xffff0000, words.y << 16, words.y & 0xffff0000));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let width = params.columns / 4;
  let token = select(params.draft, tokens[(step.position + id.y) % TOKENS], id.y < params.known);
  if (id.x >= width || token < params.first_output || token >= params.first_output + params.outputs) { return; }
  out[id.y * width + id.x] = audio[(step.audio_row + id.y) * width + id.x]
                           + weights4((token - params.first_output) * width + id.x);
}
