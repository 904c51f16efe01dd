// parts/linear: for every linear kernel: its bindings, and what becomes of its output rows.
//   y[m, o] = scale[m] * sum_k W[o, k] gain[k] x[m, k] + bias[o]
//   NORM: scale[m] = 1 / sqrt(mean_k x[m, k]^2 + EPSILON), summed up along with the products, so that a norm costs no
//   dispatch of its own; otherwise scale and gain are 1.
// Output rows are made in pairs. ENDING says which rows make a pair, and what becomes of them:
//   0 STORE  rows 2p, 2p+1        out = y
//   1 GELU   rows 2p, 2p+1        out = gelu(y), exact
//   2 ADD    rows 2p, 2p+1        out += y: the residual
//   3 SILU   rows p, p+outputs/2  out[p] = silu(y[p]) * y[p+outputs/2]: gate and up, stacked
//   4 HEADS  wq, wk, wv stacked: queries and keys are rotated by RoPE (pairs 2j, 2j+1 of a head, or j, j+HEAD_DIM/2
//            with HALF_ROPE; stored as pairs), queries go to out, keys and values to the cache's slot of their position
//   5 IN_PARAMS  one of the first four, as params say, and whether there is a bias: fewer kernels to compile
//
// x [rows, columns] f32, each row X_STRIDE values behind the one before; gain [columns], bias [outputs] f32; weights, scales:
// [outputs, columns] as parts/types or parts/block_types has them; out [rows, out_stride] f32 from first_output on;
// angles: (cos, sin) of RoPE, [coarse + ANGLES_FINE, HEAD_DIM/2]; cache [capacity, 2 (k, v), KV_HEADS, HEAD_DIM],
// f16 pairs or f32. columns is a multiple of 32. One dispatch for each part of a matrix. Precision: f32 throughout.
// uses: Step from parts/step; gelu from parts/gelu

// COLUMNS, HEIGHT: the matrix's size if it is constant, so that loops have known ends and need not wait for params;
// 0: take it from params.
override COLUMNS: u32 = 0;
override HEIGHT: u32 = 0;
override TYPE: u32 = 3;                     // of the weights: parts/types and parts/block_types
override NORM: bool = false;
override EPSILON: f32 = 1e-5;
override BIAS: bool = false;
override ENDING: u32 = 0;
override HEADS: u32 = 32;
override KV_HEADS: u32 = 8;
override HEAD_DIM: u32 = 128;
override HALF_ROPE: bool = false;
override ANGLES_FINE: u32 = 512;
override CACHE_F16: bool = true;
override FIRST_PAIR: u32 = 0;               // HEADS: pairs before this part, if wq, wk and wv are not of one type
override X_STRIDE: u32 = 0;                 // values between two rows of x, a multiple of 4; 0: as many as columns
override ZERO_ROWS: u32 = 0;                // of a stream: so many rows of out before its first position are zero
override ROWS_PER_POSITION: u32 = 1;

const STORE = 0u;
const GELU = 1u;
const ADD = 2u;
const SILU = 3u;
const HEADS_ENDING = 4u;
const IN_PARAMS = 5u;

struct Params { rows: u32, columns: u32, outputs: u32, first_output: u32, out_stride: u32, ending: u32, bias: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> weights: array<vec4u>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> gain: array<vec4f>;
@group(0) @binding(6) var<storage, read> bias: array<f32>;
@group(0) @binding(7) var<storage, read> angles: array<vec2f>;
@group(0) @binding(8) var<storage, read_write> cache: array<u32>;
@group(0) @binding(9) var<storage, read_write> out: array<f32>;

fn columns() -> u32 {
  if (COLUMNS == 0) { return params.columns; }
  return COLUMNS;
}

// Vectors between two rows of x. The rows of a convolution overlap.
fn x_stride() -> u32 {
  if (X_STRIDE == 0) { return columns() / 4; }
  return X_STRIDE / 4;
}

fn height() -> u32 {
  if (HEIGHT == 0) { return params.outputs; }
  return HEIGHT;
}

fn ending() -> u32 {
  if (ENDING == IN_PARAMS) { return params.ending; }
  return ENDING;
}

fn has_bias() -> bool {
  if (ENDING == IN_PARAMS) { return params.bias == 1; }
  return BIAS;
}

fn last_pair() -> u32 { return (height() + 1) / 2 - 1; }

// The rows of a pair. For a row past the end, the last row is computed again, and not stored.
fn pair_rows(pair: u32) -> vec2u {
  if (ending() == SILU) { return vec2u(pair, pair + height() / 2); }
  let half = HEAD_DIM / 2;
  if (ENDING == HEADS_ENDING && HALF_ROPE && (pair + FIRST_PAIR) / half < HEADS + KV_HEADS) {
    return vec2u(pair / half * HEAD_DIM + pair % half) + vec2u(0, half);
  }
  return vec2u(2 * pair, min(2 * pair + 1, height() - 1));
}

// cos and sin of RoPE's angle at a position, from a coarse and a fine angle: both tables are exact to f32.
fn rope(pair_in_head: u32, position: u32) -> vec2f {
  let half = HEAD_DIM / 2;
  let fine = angles[(position % ANGLES_FINE) * half + pair_in_head];
  let coarse = angles[(ANGLES_FINE + position / ANGLES_FINE) * half + pair_in_head];
  return vec2f(coarse.x * fine.x - coarse.y * fine.y, coarse.y * fine.x + coarse.x * fine.y);
}

fn store_heads(pair: u32, m: u32, y: vec2f) {
  let half = HEAD_DIM / 2;
  let head = pair / half;
  let j = pair % half;
  var value = y;
  if (head < HEADS + KV_HEADS) {
    let angle = rope(j, step.rotation + m);
    value = vec2f(y.x * angle.x - y.y * angle.y, y.x * angle.y + y.y * angle.x);
  }
  if (head < HEADS) {
    let at = (m * HEADS + head) * HEAD_DIM + 2 * j;
    out[at] = value.x;
    out[at + 1] = value.y;
    return;
  }
  // The heads after the queries' are in the cache's own order: keys, then values.
  let slot = (step.position + m) % step.capacity;
  let at = (slot * 2 * KV_HEADS + head - HEADS) * half + j;
  if (CACHE_F16) {
    cache[at] = pack2x16float(value);
  } else {
    cache[2 * at] = bitcast<u32>(value.x);
    cache[2 * at + 1] = bitcast<u32>(value.y);
  }
}

// What becomes of a pair's products with row m of x. Pairs and rows past the end are dropped.
fn finish(pair: u32, m: u32, products: vec2f, squares: f32) {
  if (2 * pair >= height() || m >= params.rows) { return; }
  let rows = pair_rows(pair);
  var y = products;
  if (NORM) { y *= inverseSqrt(squares / f32(columns()) + EPSILON); }
  if (has_bias()) { y += vec2f(bias[rows.x + 2 * FIRST_PAIR], bias[rows.y + 2 * FIRST_PAIR]); }
  if (ENDING == HEADS_ENDING) {
    store_heads(pair + FIRST_PAIR, m, y);
    return;
  }
  let at = m * params.out_stride + params.first_output;
  if (ending() == SILU) {
    out[at + pair] = y.x / (1 + exp(-y.x)) * y.y;
    return;
  }
  if (ending() == GELU) { y = vec2f(gelu(y.x), gelu(y.y)); }
  if (ZERO_ROWS > 0 && step.position * ROWS_PER_POSITION + m < ZERO_ROWS) { y = vec2f(); }
  if (ending() == ADD) { y += vec2f(out[at + rows.x], out[at + rows.y]); }
  out[at + rows.x] = y.x;
  if (rows.y != rows.x) { out[at + rows.y] = y.y; }
}
