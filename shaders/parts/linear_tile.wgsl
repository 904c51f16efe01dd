// parts/linear_tile: `parts/linear` for many rows of x. The kernels `linear_tile` and `linear_tile_blocks` consist of it.
//
// Grid: x over TILE_ROWS rows of x, for each split; y, z over TILE_OUTPUTS / 2 pairs of output rows. Neither need be a
// multiple of these. Precision: f32.
// Why this variant: with many rows of x, each weight that is read and dequantised serves all rows of a tile.
// A workgroup makes a tile of TILE_ROWS rows of x and TILE_OUTPUTS output rows, both 64 or 128. It goes through 16
// columns at a time, half a block, which it keeps, dequantised, in workgroup memory. An invocation makes 8 x 8 of the
// tile, so that four reads of vectors serve 64 products: the rows 4i..4i+3 of the tile's first half and the same of its
// second, and four pairs. The next columns are under way meanwhile. With two BUFFERS, one barrier a step is enough.
// SPLITS: so many workgroups share the columns of a tile, where tiles are few. Then out is [SPLITS, rows, outputs], the
// sums of each, and `linear_join` adds them up and does the ending; there is no norm.
// uses: NORM, params, x, gain, out, columns, height, last_pair, pair_rows, finish from parts/linear; eight, word_of,
// scale_of from parts/types or parts/block_types

override WORKGROUP: u32 = 64;               // TILE_ROWS * TILE_OUTPUTS / 64
override TILE_ROWS: u32 = 64;
override TILE_OUTPUTS: u32 = 64;
override BUFFERS: u32 = 2;
override SPLITS: u32 = 1;

override ROW_VECTORS: u32 = TILE_ROWS / 4;  // of a column
override OUTPUT_VECTORS: u32 = TILE_OUTPUTS / 4;

var<workgroup> of_x: array<vec4f, BUFFERS * 4 * TILE_ROWS>;           // [buffer, column, row by fours]
var<workgroup> of_weights: array<vec4f, BUFFERS * 4 * TILE_OUTPUTS>;  // [buffer, column, output by fours]

// The vectors of a column change places, differently in each four columns, so that banks do not collide.
fn place(four: u32, vector: u32) -> u32 { return vector ^ ((four & 1) * 4 + (four & 2)); }

fn put_x(buffer: u32, four: u32, row: u32, value: vec4f) {
  let at = (buffer * 16 + four * 4) * ROW_VECTORS + place(four, row / 4);
  let c = row % 4;
  of_x[at][c] = value.x;
  of_x[at + ROW_VECTORS][c] = value.y;
  of_x[at + 2 * ROW_VECTORS][c] = value.z;
  of_x[at + 3 * ROW_VECTORS][c] = value.w;
}

fn put_weights(buffer: u32, four: u32, slot: u32, value: vec4f) {
  let at = (buffer * 16 + four * 4) * OUTPUT_VECTORS + place(four, slot / 4);
  let c = slot % 4;
  of_weights[at][c] = value.x;
  of_weights[at + OUTPUT_VECTORS][c] = value.y;
  of_weights[at + 2 * OUTPUT_VECTORS][c] = value.z;
  of_weights[at + 3 * OUTPUT_VECTORS][c] = value.w;
}

// The first block of an output row of the tile. Its first half has the pairs' first rows. The pairs of an invocation lie
// far apart, so that neighbours store neighbouring ones.
fn start_of(first_pair: u32, slot: u32) -> u32 {
  let in_half = slot % (TILE_OUTPUTS / 2);
  let pair = pair_rows(min(first_pair + in_half / 4 + in_half % 4 * (TILE_OUTPUTS / 8), last_pair()));
  return select(pair.x, pair.y, slot >= TILE_OUTPUTS / 2) * (columns() / 32);
}

// What becomes of a pair's sums.
fn store(split: u32, pair: u32, m: u32, sums: vec2f, squares: f32) {
  if (SPLITS == 1) {
    finish(pair, m, sums, squares);
    return;
  }
  if (pair > last_pair() || m >= params.rows) { return; }
  let at = (split * params.rows + m) * height();
  let rows = pair_rows(pair);
  out[at + rows.x] = sums.x;
  if (rows.y != rows.x) { out[at + rows.y] = sums.y; }
}

// What an invocation brings of half a block of columns: of up to four rows of x a vector, of up to two output rows a word.
struct Half { x0: vec4f, x1: vec4f, x2: vec4f, x3: vec4f, gains: vec4f, words: vec2u, scales: vec2f }

// `x_rows`: where the rows of x begin, in vectors; `starts`: the output rows' first blocks; `four`: which vector.
fn bring(half: u32, x_rows: vec4u, starts: vec2u, four: u32) -> Half {
  let block = half / 2;
  let vector = block * 8 + half % 2 * 2 + (four & 1) + (four & 2) * 2;
  let word = half % 2 * 2 + four % 2;
  var brought: Half;
  brought.x0 = x[x_rows.x + vector];
  brought.x1 = x[x_rows.y + vector];
  if (TILE_OUTPUTS == 64) {
    brought.x2 = x[x_rows.z + vector];
    brought.x3 = x[x_rows.w + vector];
  }
  if (NORM) { brought.gains = gain[vector]; }
  brought.words.x = word_of(starts.x + block, word);
  brought.scales.x = scale_of(starts.x + block);
  if (TILE_ROWS == 64) {
    brought.words.y = word_of(starts.y + block, word);
    brought.scales.y = scale_of(starts.y + block);
  }
  return brought;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let first_pair = (group.y + group.z * groups.y) * (TILE_OUTPUTS / 2);
  let row_tiles = groups.x / SPLITS;
  let first = group.x % row_tiles * TILE_ROWS;
  let split = group.x / row_tiles;
  let blocks = columns() / 32;
  let begin = blocks * split / SPLITS * 2;        // in halves of a block
  let end = blocks * (split + 1) / SPLITS * 2;

  let four = local % 4;                           // which vector of x, and which word, this invocation brings
  let row = local / 4;
  let slot = local / 2;
  let x_rows = min(first + row + vec4u(0, 1, 2, 3) * (WORKGROUP / 4), vec4u(params.rows - 1)) * (blocks * 8);
  let starts = vec2u(start_of(first_pair, slot), start_of(first_pair, (slot + WORKGROUP / 2) % TILE_OUTPUTS));

  let i = local / (TILE_OUTPUTS / 8);
  let j = local % (TILE_OUTPUTS / 8);
  var squares = vec4f();
  // Sums of x's rows 0..7 of this invocation with the first rows of its four pairs, and with the second rows.
  var a0 = vec4f();
  var a1 = vec4f();
  var a2 = vec4f();
  var a3 = vec4f();
  var a4 = vec4f();
  var a5 = vec4f();
  var a6 = vec4f();
  var a7 = vec4f();
  var b0 = vec4f();
  var b1 = vec4f();
  var b2 = vec4f();
  var b3 = vec4f();
  var b4 = vec4f();
  var b5 = vec4f();
  var b6 = vec4f();
  var b7 = vec4f();
  var next = bring(begin, x_rows, starts, four);
  for (var half = begin; half < end; half++) {
    let now = next;
    let buffer = half % BUFFERS;
    if (NORM) { squares += vec4f(dot(now.x0, now.x0), dot(now.x1, now.x1), dot(now.x2, now.x2), dot(now.x3, now.x3)); }
    let factor = select(vec4f(1), now.gains, NORM);
    put_x(buffer, four, row, now.x0 * factor);
    put_x(buffer, four, row + WORKGROUP / 4, now.x1 * factor);
    if (TILE_OUTPUTS == 64) {
      put_x(buffer, four, row + WORKGROUP / 2, now.x2 * factor);
      put_x(buffer, four, row + WORKGROUP / 4 * 3, now.x3 * factor);
    }
    let word = half % 2 * 2 + four % 2;
    let first_eight = eight(starts.x + half / 2, word, now.words.x) * now.scales.x;
    put_weights(buffer, four % 2, slot, first_eight[0]);
    put_weights(buffer, four % 2 + 2, slot, first_eight[1]);
    if (TILE_ROWS == 64) {
      let second_eight = eight(starts.y + half / 2, word, now.words.y) * now.scales.y;
      put_weights(buffer, four % 2, slot + WORKGROUP / 2, second_eight[0]);
      put_weights(buffer, four % 2 + 2, slot + WORKGROUP / 2, second_eight[1]);
    }
    workgroupBarrier();
    next = bring(min(half + 1, end - 1), x_rows, starts, four);     // under way while these are multiplied
    for (var f = 0u; f < 4; f++) {
      var at_x = (buffer * 16 + f * 4) * ROW_VECTORS + place(f, i);
      var at_w = (buffer * 16 + f * 4) * OUTPUT_VECTORS + place(f, j);
      for (var c = 0u; c < 4; c++) {
        let xa = of_x[at_x];
        let xb = of_x[at_x + ROW_VECTORS / 2];
        let wa = of_weights[at_w];
        let wb = of_weights[at_w + OUTPUT_VECTORS / 2];
        a0 = fma(vec4f(xa.x), wa, a0);
        b0 = fma(vec4f(xa.x), wb, b0);
        a1 = fma(vec4f(xa.y), wa, a1);
        b1 = fma(vec4f(xa.y), wb, b1);
        a2 = fma(vec4f(xa.z), wa, a2);
        b2 = fma(vec4f(xa.z), wb, b2);
        a3 = fma(vec4f(xa.w), wa, a3);
        b3 = fma(vec4f(xa.w), wb, b3);
        a4 = fma(vec4f(xb.x), wa, a4);
        b4 = fma(vec4f(xb.x), wb, b4);
        a5 = fma(vec4f(xb.y), wa, a5);
        b5 = fma(vec4f(xb.y), wb, b5);
        a6 = fma(vec4f(xb.z), wa, a6);
        b6 = fma(vec4f(xb.z), wb, b6);
        a7 = fma(vec4f(xb.w), wa, a7);
        b7 = fma(vec4f(xb.w), wb, b7);
        at_x += ROW_VECTORS;
        at_w += OUTPUT_VECTORS;
      }
    }
    if (BUFFERS == 1) { workgroupBarrier(); }
  }

  if (NORM) {
    workgroupBarrier();
    of_x[row][four] = squares.x;
    of_x[row + WORKGROUP / 4][four] = squares.y;
    if (TILE_OUTPUTS == 64) {
      of_x[row + WORKGROUP / 2][four] = squares.z;
      of_x[row + WORKGROUP / 4 * 3][four] = squares.w;
    }
    workgroupBarrier();
  }
  var sums = array<vec4f, 16>(a0, b0, a1, b1, a2, b2, a3, b3, a4, b4, a5, b5, a6, b6, a7, b7);
  for (var r = 0u; r < 8; r++) {
    let of_tile = 4 * i + r % 4 + r / 4 * (TILE_ROWS / 2);
    let of_row = select(0.0, dot(of_x[of_tile], vec4f(1)), NORM);
    for (var c = 0u; c < 4; c++) {
      let pair = first_pair + j + c * (TILE_OUTPUTS / 8);
      store(split, pair, first + of_tile, vec2f(sums[2 * r][c], sums[2 * r + 1][c]), of_row);
    }
  }
}
