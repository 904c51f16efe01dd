// parts/linear_tile: `parts/linear` for many rows of x. The kernels `linear_tile` and `linear_tile_blocks` consist of it.
//
// Grid: x over 128 rows of x, for each split; y, z over 32 pairs of output rows. Neither need be a multiple of these.
// Precision: f32.
// Why this variant: with many rows of x, each weight that is read and dequantised serves all rows of a tile.
// A workgroup makes a tile of 128 rows of x and 64 output rows (32 pairs). It goes through half a block at a time, 16
// columns, which it keeps, dequantised, in workgroup memory, column after column. An invocation makes 8 x 8 of the tile:
// the rows 4i..4i+3 of x and 64 farther on, and both rows of four pairs. So four vectors that it reads serve 64 products.
// It brings four columns of four rows of x, and a word of one output row; the next ones are under way while it multiplies.
// The columns are written out, not a loop: with constant indices there is nothing to compute and to check for each read.
// SPLITS: so many workgroups share the columns of a tile, where tiles are few. Then out is [SPLITS, rows, outputs], the sums
// of each, and `linear_join` adds them up and does the ending; there is no norm.
// uses: NORM, params, x, gain, out, columns, x_stride, height, last_pair, pair_rows, finish from parts/linear;
// eight, word_of, scale_of from parts/types or parts/block_types

override WORKGROUP: u32 = 128;              // no other value: the tile's shape depends on it
override SPLITS: u32 = 1;

const TILE_ROWS = 128u;
const TILE_PAIRS = 32u;
const COLUMNS_KEPT = 16u;

var<workgroup> of_x: array<array<vec4f, 32>, COLUMNS_KEPT>;         // [column, rows by fours]
var<workgroup> of_weights: array<array<vec4f, 16>, COLUMNS_KEPT>;   // [column, pairs' first rows by fours, then the second ones]

// Sums of x's first four rows and its last four ones, with the pairs' first rows and their second ones: a column a row of x.
struct Sums { aa: mat4x4f, ab: mat4x4f, ba: mat4x4f, bb: mat4x4f }

fn add_products(sums: mat4x4f, of_rows: vec4f, weights: vec4f) -> mat4x4f {
  return mat4x4f(fma(vec4f(of_rows.x), weights, sums[0]), fma(vec4f(of_rows.y), weights, sums[1]),
                 fma(vec4f(of_rows.z), weights, sums[2]), fma(vec4f(of_rows.w), weights, sums[3]));
}

fn add_column(sums: Sums, column: u32, i: u32, j: u32) -> Sums {
  let xa = of_x[column][i];
  let xb = of_x[column][i + 16];
  let wa = of_weights[column][j];
  let wb = of_weights[column][j + 8];
  return Sums(add_products(sums.aa, xa, wa), add_products(sums.ab, xa, wb),
              add_products(sums.ba, xb, wa), add_products(sums.bb, xb, wb));
}

fn add_four(sums: Sums, column: u32, i: u32, j: u32) -> Sums {
  return add_column(add_column(add_column(add_column(sums, column, i, j), column + 1, i, j), column + 2, i, j), column + 3, i, j);
}

// What an invocation brings of half a block: four columns of four rows of x, and a word of an output row.
struct Brought { a: vec4f, b: vec4f, c: vec4f, d: vec4f, gains: vec4f, word: u32, scale: f32 }

// `x_rows`: where the rows of x begin, in vectors; `start`: the output row's first block.
fn bring(half: u32, x_rows: vec4u, four: u32, start: u32, w: u32) -> Brought {
  let block = half / 2;
  let at = x_rows + block * 8 + vector_of(half, four);
  var gains = vec4f(1);
  if (NORM) { gains = gain[block * 8 + vector_of(half, four)]; }
  return Brought(x[at.x], x[at.y], x[at.z], x[at.w], gains, word_of(start + block, word_in_block(half, w)), scale_of(start + block));
}

// A half block has words 0 and 1, or 2 and 3, and the four vectors of columns that belong to them.
fn word_in_block(half: u32, w: u32) -> u32 { return half % 2 * 2 + w; }

fn vector_of(half: u32, four: u32) -> u32 { return half % 2 * 2 + (four & 1) + (four & 2) * 2; }

// The first block of the tile's output row `slot`: the pairs' first rows come first.
fn start_of(first_pair: u32, slot: u32) -> u32 {
  let pair = pair_rows(min(first_pair + slot % TILE_PAIRS, last_pair()));
  return select(pair.x, pair.y, slot >= TILE_PAIRS) * (columns() / 32);
}

// What becomes of a row of x with four pairs.
fn finish_four(split: u32, pair: u32, m: u32, first: vec4f, second: vec4f, squares: f32) {
  end_pair(split, pair, m, vec2f(first.x, second.x), squares);
  end_pair(split, pair + 1, m, vec2f(first.y, second.y), squares);
  end_pair(split, pair + 2, m, vec2f(first.z, second.z), squares);
  end_pair(split, pair + 3, m, vec2f(first.w, second.w), squares);
}

fn end_pair(split: u32, pair: u32, m: u32, sums: vec2f, squares: f32) {
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

fn finish_rows(split: u32, pair: u32, m: u32, first: mat4x4f, second: mat4x4f, squares: vec4f) {
  finish_four(split, pair, m, first[0], second[0], squares.x);
  finish_four(split, pair, m + 1, first[1], second[1], squares.y);
  finish_four(split, pair, m + 2, first[2], second[2], squares.z);
  finish_four(split, pair, m + 3, first[3], second[3], squares.w);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let first_pair = (group.y + group.z * groups.y) * TILE_PAIRS;
  let row_tiles = groups.x / SPLITS;
  let first = group.x % row_tiles * TILE_ROWS;
  let split = group.x / row_tiles;
  let blocks = columns() / 32;
  let begin = blocks * split / SPLITS * 2;        // in halves of a block
  let end = blocks * (split + 1) / SPLITS * 2;

  // What this invocation brings: of x, vector `four` of a half block's four; of the weights, word `w` of its two.
  let four = local % 4;
  let rows = local / 4;                     // by fours
  let w = local % 2;
  let slot = local / 2;
  let x_rows = min(first + 4 * rows + vec4u(0, 1, 2, 3), vec4u(params.rows - 1)) * x_stride();
  let start = start_of(first_pair, slot);

  let i = local / 8;
  let j = local % 8;
  var squares = vec4f();
  var sums: Sums;
  var next = bring(begin, x_rows, four, start, w);
  for (var half = begin; half < end; half++) {
    let now = next;
    if (NORM) { squares += vec4f(dot(now.a, now.a), dot(now.b, now.b), dot(now.c, now.c), dot(now.d, now.d)); }
    of_x[4 * four][rows] = vec4f(now.a.x, now.b.x, now.c.x, now.d.x) * now.gains.x;
    of_x[4 * four + 1][rows] = vec4f(now.a.y, now.b.y, now.c.y, now.d.y) * now.gains.y;
    of_x[4 * four + 2][rows] = vec4f(now.a.z, now.b.z, now.c.z, now.d.z) * now.gains.z;
    of_x[4 * four + 3][rows] = vec4f(now.a.w, now.b.w, now.c.w, now.d.w) * now.gains.w;
    let eight_of = eight(start + half / 2, word_in_block(half, w), now.word) * now.scale;
    of_weights[4 * w][slot / 4][slot % 4] = eight_of[0].x;
    of_weights[4 * w + 1][slot / 4][slot % 4] = eight_of[0].y;
    of_weights[4 * w + 2][slot / 4][slot % 4] = eight_of[0].z;
    of_weights[4 * w + 3][slot / 4][slot % 4] = eight_of[0].w;
    of_weights[4 * w + 8][slot / 4][slot % 4] = eight_of[1].x;
    of_weights[4 * w + 9][slot / 4][slot % 4] = eight_of[1].y;
    of_weights[4 * w + 10][slot / 4][slot % 4] = eight_of[1].z;
    of_weights[4 * w + 11][slot / 4][slot % 4] = eight_of[1].w;
    workgroupBarrier();
    next = bring(min(half + 1, end - 1), x_rows, four, start, w);
    sums = add_four(sums, 0, i, j);
    sums = add_four(sums, 4, i, j);
    sums = add_four(sums, 8, i, j);
    sums = add_four(sums, 12, i, j);
    workgroupBarrier();
  }

  var squares_a = vec4f();
  var squares_b = vec4f();
  if (NORM) {
    of_x[four][rows] = squares;
    workgroupBarrier();
    squares_a = of_x[0][i] + of_x[1][i] + of_x[2][i] + of_x[3][i];
    squares_b = of_x[0][i + 16] + of_x[1][i + 16] + of_x[2][i + 16] + of_x[3][i + 16];
  }
  finish_rows(split, first_pair + 4 * j, first + 4 * i, sums.aa, sums.ab, squares_a);
  finish_rows(split, first_pair + 4 * j, first + 4 * i + TILE_ROWS / 2, sums.ba, sums.bb, squares_b);
}
