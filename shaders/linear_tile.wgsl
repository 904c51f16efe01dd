// with gelu product
// linear_tile: the product for many rows of x, Q4_0 only. See `product` for what it makes.
//
// A workgroup makes a tile of 64 rows of x and 64 output rows (32 pairs), stepping through 32 columns at a time that it
// keeps, dequantised, in workgroup memory: 16 KiB, all that WebGPU guarantees. A step's columns are those of one word of four
// blocks, so that an invocation reads a block of weights once and has a word of it in each of four steps. It makes 4 x 4 of
// the tile: rows 4i..4i+3 of x and both rows of pairs j and j + 16. Columns lie in vectors of four, rotated by their row so
// that banks do not collide. Grid: x, y over 32 pairs, z over 64 rows. outputs need not be a multiple of 64.

override WORKGROUP: u32 = 256;              // no other: the tile's shape is made of it

const TILE = 64u;
const STEP = 8u;                            // vectors of four columns

var<workgroup> of_x: array<vec4f, 512>;     // [row, vector]
var<workgroup> of_weights: array<vec4f, 512>;

fn place(row: u32, vector: u32) -> u32 { return row * STEP + (vector ^ (row % STEP)); }

// Vector v of a block of x; nothing behind the last block.
fn brought(row: u32, block: u32, v: u32) -> vec4f {
  if (block >= columns() / 32) { return vec4f(); }
  return x[row * (columns() / 4) + block * 8 + v];
}

fn gain_of(block: u32, v: u32) -> vec4f { return gain[min(block * 8 + v, columns() / 4 - 1)]; }

fn keep(row: u32, half: u32, a: vec4f, b: vec4f, c: vec4f, d: vec4f) {
  of_x[place(row, half)] = a;
  of_x[place(row, half + 2)] = b;
  of_x[place(row, half + 4)] = c;
  of_x[place(row, half + 6)] = d;
}

fn add_four(sums: vec4f, part: vec4f, a: vec4f, b: vec4f, c: vec4f, d: vec4f) -> vec4f {
  return vec4f(add(sums.x, part, a), add(sums.y, part, b), add(sums.z, part, c), add(sums.w, part, d));
}

fn add(sum: f32, a: vec4f, b: vec4f) -> f32 { return fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, sum)))); }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let first_pair = (group.x + group.y * groups.x) * 32;
  let first = group.z * TILE;
  let blocks = columns() / 32;

  // What this invocation brings: of x, vector v of two rows' blocks, a word's low columns or its high ones; of the weights,
  // every fourth block of a row.
  let row_a = local / STEP;
  let row_b = row_a + TILE / 2;
  let m_a = min(first + row_a, params.rows - 1);
  let m_b = min(first + row_b, params.rows - 1);
  let v = local % STEP;
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
  for (var block = 0u; block < blocks; block += 4u) {
    var a0 = brought(m_a, block, v);
    var a1 = brought(m_a, block + 1, v);
    var a2 = brought(m_a, block + 2, v);
    var a3 = brought(m_a, block + 3, v);
    var b0 = brought(m_b, block, v);
    var b1 = brought(m_b, block + 1, v);
    var b2 = brought(m_b, block + 2, v);
    var b3 = brought(m_b, block + 3, v);
    var words = weights[start + min(block + w, blocks - 1)];
    let scale = scale_of(start + min(block + w, blocks - 1));
    if (NORM) {
      squares += vec2f(dot(a0, a0) + dot(a1, a1) + dot(a2, a2) + dot(a3, a3), dot(b0, b0) + dot(b1, b1) + dot(b2, b2) + dot(b3, b3));
      let g0 = gain_of(block, v);
      let g1 = gain_of(block + 1, v);
      let g2 = gain_of(block + 2, v);
      let g3 = gain_of(block + 3, v);
      a0 *= g0; a1 *= g1; a2 *= g2; a3 *= g3;
      b0 *= g0; b1 *= g1; b2 *= g2; b3 *= g3;
    }
    for (var word = 0u; word < 4; word++) {
      if (v % 4 == word) {
        keep(row_a, v / 4, a0, a1, a2, a3);
        keep(row_b, v / 4, b0, b1, b2, b3);
      }
      let eight_of = from_nibbles(words.x) * scale;
      of_weights[place(row, 2 * w)] = eight_of[0];
      of_weights[place(row, 2 * w + 1)] = eight_of[1];
      words = words.yzwx;
      workgroupBarrier();
      for (var c = 0u; c < STEP; c++) {
        let wa = of_weights[place(j, c)];
        let wb = of_weights[place(j + 32, c)];
        let wc = of_weights[place(j + 16, c)];
        let wd = of_weights[place(j + 48, c)];
        s0 = add_four(s0, of_x[place(4 * i, c)], wa, wb, wc, wd);
        s1 = add_four(s1, of_x[place(4 * i + 1, c)], wa, wb, wc, wd);
        s2 = add_four(s2, of_x[place(4 * i + 2, c)], wa, wb, wc, wd);
        s3 = add_four(s3, of_x[place(4 * i + 3, c)], wa, wb, wc, wd);
      }
      workgroupBarrier();
    }
  }

  var squares_of = vec4f();
  if (NORM) {
    of_x[row_a * STEP + v] = vec4f(squares.x);
    of_x[row_b * STEP + v] = vec4f(squares.y);
    workgroupBarrier();
    for (var c = 0u; c < STEP; c++) {
      squares_of += vec4f(of_x[4 * i * STEP + c].x, of_x[(4 * i + 1) * STEP + c].x, of_x[(4 * i + 2) * STEP + c].x,
                          of_x[(4 * i + 3) * STEP + c].x);
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
