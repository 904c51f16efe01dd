// parts/linear_tile: `parts/linear` for many rows of x. The kernels `linear_tile` and `linear_tile_blocks` consist of it.
//
// Grid: x over 64 rows of x, y, z over 32 pairs of output rows. Outputs need not be a multiple of 64. Precision: f32.
// Why this variant: with many rows of x, each weight that is read and dequantised serves 64 of them.
// A workgroup makes a tile of 64 rows of x and 64 output rows (32 pairs). It goes through 32 columns at a time, which
// it keeps, dequantised, in workgroup memory: 16 KiB, all that WebGPU guarantees. An invocation makes 4 x 4 of the
// tile: rows 4i..4i+3 of x, and both rows of the pairs j and j + 16. Columns lie in vectors of four, rotated by their
// row so that banks do not collide.
// uses: NORM, params, x, gain, columns, last_pair, pair_rows, finish from parts/linear; eight, word_of, scale_of from
// parts/types or parts/block_types

override WORKGROUP: u32 = 256;              // no other value: the tile's shape depends on it

const TILE = 64u;
const STEP = 8u;                            // vectors of four columns

var<workgroup> of_x: array<vec4f, 512>;     // [row, vector]
var<workgroup> of_weights: array<vec4f, 512>;

fn place(row: u32, vector: u32) -> u32 { return row * STEP + (vector ^ (row % STEP)); }

fn add_four(sums: vec4f, of_row: vec4f, a: vec4f, b: vec4f, c: vec4f, d: vec4f) -> vec4f {
  return vec4f(add(sums.x, of_row, a), add(sums.y, of_row, b), add(sums.z, of_row, c), add(sums.w, of_row, d));
}

fn add(sum: f32, a: vec4f, b: vec4f) -> f32 { return fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, sum)))); }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let first_pair = (group.y + group.z * groups.y) * 32;
  let first = group.x * TILE;
  let blocks = columns() / 32;

  // What this invocation brings: of x, vector `local % 8` of two rows; of the weights, word w of a row.
  let row_a = local / STEP;
  let row_b = row_a + TILE / 2;
  let x_a = min(first + row_a, params.rows - 1) * (columns() / 4) + local % STEP;
  let x_b = min(first + row_b, params.rows - 1) * (columns() / 4) + local % STEP;
  let row = local % TILE;                   // pair row % 32, its first or second row
  let w = local / TILE;
  let pair = pair_rows(min(first_pair + row % 32, last_pair()));
  let start = select(pair.x, pair.y, row >= 32) * blocks;

  let i = local / 16;
  let j = local % 16;
  var squares = vec2f();
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  var next_word = word_of(start, w);
  var next_scale = scale_of(start);
  var next_a = x[x_a];
  var next_b = x[x_b];
  for (var block = 0u; block < blocks; block++) {
    let eight_of = eight(start + block, w, next_word) * next_scale;
    let at = block * 8 + local % STEP;
    var a = next_a;
    var b = next_b;
    let after = min(block + 1, blocks - 1);         // under way while this one is multiplied
    next_word = word_of(start + after, w);
    next_scale = scale_of(start + after);
    next_a = x[x_a + after * 8];
    next_b = x[x_b + after * 8];
    if (NORM) {
      squares += vec2f(dot(a, a), dot(b, b));
      a *= gain[at];
      b *= gain[at];
    }
    of_x[place(row_a, local % STEP)] = a;
    of_x[place(row_b, local % STEP)] = b;
    of_weights[place(row, w)] = eight_of[0];
    of_weights[place(row, w + 4)] = eight_of[1];
    workgroupBarrier();
    for (var v = 0u; v < STEP; v++) {
      let wa = of_weights[place(j, v)];
      let wb = of_weights[place(j + 32, v)];
      let wc = of_weights[place(j + 16, v)];
      let wd = of_weights[place(j + 48, v)];
      s0 = add_four(s0, of_x[place(4 * i, v)], wa, wb, wc, wd);
      s1 = add_four(s1, of_x[place(4 * i + 1, v)], wa, wb, wc, wd);
      s2 = add_four(s2, of_x[place(4 * i + 2, v)], wa, wb, wc, wd);
      s3 = add_four(s3, of_x[place(4 * i + 3, v)], wa, wb, wc, wd);
    }
    workgroupBarrier();
  }

  var squares_of = vec4f();
  if (NORM) {
    of_x[row_a * STEP + local % STEP] = vec4f(squares.x);
    of_x[row_b * STEP + local % STEP] = vec4f(squares.y);
    workgroupBarrier();
    for (var v = 0u; v < STEP; v++) {
      squares_of += vec4f(of_x[4 * i * STEP + v].x, of_x[(4 * i + 1) * STEP + v].x, of_x[(4 * i + 2) * STEP + v].x,
                          of_x[(4 * i + 3) * STEP + v].x);
    }
  }
  finish(first_pair + j, first + 4 * i, s0.xy, squares_of.x);
  finish(first_pair + j, first + 4 * i + 1, s1.xy, squares_of.y);
  finish(first_pair + j, first + 4 * i + 2, s2.xy, squares_of.z);
  finish(first_pair + j, first + 4 * i + 3, s3.xy, squares_of.w);
  finish(first_pair + j + 16, first + 4 * i, s0.zw, squares_of.x);
  finish(first_pair + j + 16, first + 4 * i + 1, s1.zw, squares_of.y);
  finish(first_pair + j + 16, first + 4 * i + 2, s2.zw, squares_of.z);
  finish(first_pair + j + 16, first + 4 * i + 3, s3.zw, squares_of.w);
}
