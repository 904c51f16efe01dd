// parts/linear_plain: `parts/linear` for few rows of x, one to four at a time, and weights of every type. The kernels
// `linear_plain` and `linear_plain_blocks` consist of it.
//
// Grid: x over rows of x by ROWS, y, z over four output rows per team. Precision: f32.
// Why this variant: it needs nothing that a GPU may lack, and with one lane it has no barriers, which cost much on software
// GPUs.
// A team is LANES invocations that make four output rows together: each takes every LANES-th block of 32 columns of all
// four, so that what it reads of x serves all four and many weights are under way at once. A row's sum does not depend
// on ROWS. No private array is indexed, and no loop goes over one: naga never unrolls loops, and an indexed array
// lands in memory.
// uses: NORM, params, x, gain, columns, x_stride, last_pair, pair_rows, finish from parts/linear; eight, words_of, scale_of from
// parts/types or parts/block_types

override WORKGROUP: u32 = 64;
override LANES: u32 = 1;                    // 1, or a multiple of 4
override ROWS: u32 = 1;                     // at most 4
override SHARED: u32 = 1;                   // words of workgroup memory: 5 ROWS (LANES + 1) a team, if LANES > 1

override LINE: u32 = LANES + 1;                     // words between two sums' lines: banks do not collide

var<workgroup> partial: array<f32, SHARED>;

// Adds the products of each row of x with the four output rows, over eight columns: those of word w of a block.
fn add_word(block: u32, w: u32, first: u32, starts: vec4u, words: vec4u, scale: vec4f,
            products: ptr<function, mat4x4f>, squares: ptr<function, vec4f>) {
  let a = eight(starts.x + block, w, words.x);
  let b = eight(starts.y + block, w, words.y);
  let c = eight(starts.z + block, w, words.z);
  let d = eight(starts.w + block, w, words.w);
  let at = block * 8 + w;
  var gains = mat2x4f();
  if (NORM) { gains = mat2x4f(gain[at], gain[at + 4]); }
  var x0 = x_eight(first, at);
  if (NORM) { (*squares).x += square(x0); x0 = mat2x4f(x0[0] * gains[0], x0[1] * gains[1]); }
  (*products)[0] += scale * four(a, b, c, d, x0);
  if (ROWS > 1) {
    var x1 = x_eight(first + 1, at);
    if (NORM) { (*squares).y += square(x1); x1 = mat2x4f(x1[0] * gains[0], x1[1] * gains[1]); }
    (*products)[1] += scale * four(a, b, c, d, x1);
  }
  if (ROWS > 2) {
    var x2 = x_eight(first + 2, at);
    if (NORM) { (*squares).z += square(x2); x2 = mat2x4f(x2[0] * gains[0], x2[1] * gains[1]); }
    (*products)[2] += scale * four(a, b, c, d, x2);
  }
  if (ROWS > 3) {
    var x3 = x_eight(first + 3, at);
    if (NORM) { (*squares).w += square(x3); x3 = mat2x4f(x3[0] * gains[0], x3[1] * gains[1]); }
    (*products)[3] += scale * four(a, b, c, d, x3);
  }
}

// The eight columns of row m of x that begin at vector `at` and at the fourth after it.
fn x_eight(m: u32, at: u32) -> mat2x4f {
  let from_row = min(m, params.rows - 1) * x_stride() + at;
  return mat2x4f(x[from_row], x[from_row + 4]);
}

fn square(eight: mat2x4f) -> f32 { return dot(eight[0], eight[0]) + dot(eight[1], eight[1]); }

// Their products with the same columns of four output rows.
fn four(a: mat2x4f, b: mat2x4f, c: mat2x4f, d: mat2x4f, of_x: mat2x4f) -> vec4f {
  return vec4f(dot(a[0], of_x[0]) + dot(a[1], of_x[1]), dot(b[0], of_x[0]) + dot(b[1], of_x[1]),
               dot(c[0], of_x[0]) + dot(c[1], of_x[1]), dot(d[0], of_x[0]) + dot(d[1], of_x[1]));
}

// Writes a lane's sums to the team's lines: each sum has its own line.
fn hand_in(m: u32, place: u32, products: vec4f, squares: f32) {
  let at = place + 5 * m * LINE;
  partial[at] = products.x;
  partial[at + LINE] = products.y;
  partial[at + 2 * LINE] = products.z;
  partial[at + 3 * LINE] = products.w;
  if (NORM) { partial[at + 4 * LINE] = squares; }
}

fn four_of(at: u32) -> f32 { return partial[at] + partial[at + 1] + partial[at + 2] + partial[at + 3]; }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let team = local / LANES;
  let lane = local % LANES;
  let pair = 2 * ((group.y + group.z * groups.y) * (WORKGROUP / LANES) + team);
  let first = group.x * ROWS;
  let blocks = columns() / 32;
  let starts = vec4u(pair_rows(min(pair, last_pair())), pair_rows(min(pair + 1, last_pair()))) * blocks;

  var products = mat4x4f();                 // a column for each row of x
  var squares = vec4f();
  for (var block = lane; block < blocks; block += LANES) {
    let at = starts + block;
    let a = words_of(at.x);
    let b = words_of(at.y);
    let c = words_of(at.z);
    let d = words_of(at.w);
    let scale = vec4f(scale_of(at.x), scale_of(at.y), scale_of(at.z), scale_of(at.w));
    add_word(block, 0, first, starts, vec4u(a.x, b.x, c.x, d.x), scale, &products, &squares);
    add_word(block, 1, first, starts, vec4u(a.y, b.y, c.y, d.y), scale, &products, &squares);
    add_word(block, 2, first, starts, vec4u(a.z, b.z, c.z, d.z), scale, &products, &squares);
    add_word(block, 3, first, starts, vec4u(a.w, b.w, c.w, d.w), scale, &products, &squares);
  }

  if (LANES == 1) {                         // complete sums; few calls of `finish`, as software GPUs compile slowly
    for (var m = 0u; m < ROWS; m++) {
      finish(pair, first + m, products[0].xy, squares.x);
      finish(pair + 1, first + m, products[0].zw, squares.x);
      products = mat4x4f(products[1], products[2], products[3], products[0]);
      squares = squares.yzwx;
    }
    return;
  }
  let base = team * 5 * ROWS * LINE;
  hand_in(0, base + lane, products[0], squares.x);
  if (ROWS > 1) { hand_in(1, base + lane, products[1], squares.y); }
  if (ROWS > 2) { hand_in(2, base + lane, products[2], squares.z); }
  if (ROWS > 3) { hand_in(3, base + lane, products[3], squares.w); }
  workgroupBarrier();
  for (var which = lane; which < 2 * ROWS; which += LANES) {      // a pair of output rows, of a row of x
    let m = which / 2;
    let at = base + 5 * m * LINE;
    let at_pair = at + which % 2 * 2 * LINE;
    var sums = vec3f();
    for (var i = 0u; i < LANES; i += 4u) {
      sums += vec3f(four_of(at_pair + i), four_of(at_pair + LINE + i), 0);
      if (NORM) { sums.z += four_of(at + 4 * LINE + i); }
    }
    finish(pair + which % 2, first + m, sums.xy, sums.z);
  }
}
