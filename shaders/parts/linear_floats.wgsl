// parts/linear_floats: `parts/linear` for few rows of x, one to four at a time, and weights in floats: F32, F16, BF16. The
// kernels `linear_floats` and `linear_floats_subgroups` consist of it.
//
// Grid: x over rows of x by ROWS, y, z over four output rows per team. Precision: f32.
// Why this variant: memory is the limit, so neighbours read neighbouring 16 bytes: eight values, or four in F32.
// A team is LANES invocations that make four output rows together: each takes every LANES-th 16 bytes of all four, so that
// what it reads of x serves all four. The next 16 bytes are under way while it multiplies. No private array is indexed: see
// `linear_plain`.
// uses: NORM, TYPE, params, weights, x, gain, columns, x_stride, last_pair, pair_rows, finish from parts/linear; halves from
// parts/types; SUBGROUP, together from parts/sums_in_memory or parts/sums_in_subgroups

override WORKGROUP: u32 = 128;
override LANES: u32 = 32;
override ROWS: u32 = 1;                     // at most 4

override TEAMS: u32 = WORKGROUP / LANES;
override SUMMANDS: u32 = LANES / SUBGROUP;  // partial sums of a team that must be added through workgroup memory
override LINE: u32 = SUMMANDS + 1;          // vectors between two lines of sums: banks do not collide
override SUMS: u32 = TEAMS * (ROWS + 1) * LINE;

var<workgroup> sums_of: array<vec4f, SUMS>; // of each team: a line for each row of x, and one of the squares

// 16 bytes of four output rows.
struct Four { a: vec4u, b: vec4u, c: vec4u, d: vec4u }

fn four_rows(starts: vec4u, unit: u32) -> Four {
  let at = starts + unit;
  return Four(weights[at.x], weights[at.y], weights[at.z], weights[at.w]);
}

fn early(words: vec4u) -> vec4f {
  if (TYPE == 0) { return bitcast<vec4f>(words); }
  return halves(words.xy);
}

// The products of x's four columns with the first four values, and with the others if there are eight.
fn products(four: Four, low: vec4f, high: vec4f) -> vec4f {
  var sums = vec4f(dot(early(four.a), low), dot(early(four.b), low), dot(early(four.c), low), dot(early(four.d), low));
  if (TYPE != 0) {
    sums += vec4f(dot(halves(four.a.zw), high), dot(halves(four.b.zw), high), dot(halves(four.c.zw), high),
                  dot(halves(four.d.zw), high));
  }
  return sums;
}

// A row of x: its sum of squares, and its products with the four output rows.
struct Row { products: vec4f, square: f32 }

fn row_of(m: u32, at: u32, four: Four, low_gain: vec4f, high_gain: vec4f) -> Row {
  let from_row = min(m, params.rows - 1) * x_stride() + at;
  let low = x[from_row];
  var high = vec4f();
  if (TYPE != 0) { high = x[from_row + 1]; }
  if (NORM) { return Row(products(four, low * low_gain, high * high_gain), dot(low, low) + dot(high, high)); }
  return Row(products(four, low, high), 0);
}

fn sum_of_line(first: u32) -> vec4f {
  var sum = vec4f();
  for (var i = first; i < first + SUMMANDS; i++) { sum += sums_of[i]; }
  return sum;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let team = local / LANES;
  let lane = local % LANES;
  let pair = 2 * ((group.y + group.z * groups.y) * TEAMS + team);
  let first = group.x * ROWS;
  let vectors = select(1u, 2u, TYPE != 0);  // of x, for 16 bytes of weights
  let units = columns() / (4 * vectors);
  let starts = vec4u(pair_rows(min(pair, last_pair())), pair_rows(min(pair + 1, last_pair()))) * units;

  var sums = mat4x4f();                     // a column for each row of x
  var squares = vec4f();
  var next = four_rows(starts, min(lane, units - 1));
  for (var unit = lane; unit < units; unit += LANES) {
    let four = next;
    next = four_rows(starts, min(unit + LANES, units - 1));
    let at = unit * vectors;
    var low_gain = vec4f(1);
    var high_gain = vec4f(1);
    if (NORM) {
      low_gain = gain[at];
      if (TYPE != 0) { high_gain = gain[at + 1]; }
    }
    let row = row_of(first, at, four, low_gain, high_gain);
    sums[0] += row.products;
    squares.x += row.square;
    if (ROWS > 1) {
      let row = row_of(first + 1, at, four, low_gain, high_gain);
      sums[1] += row.products;
      squares.y += row.square;
    }
    if (ROWS > 2) {
      let row = row_of(first + 2, at, four, low_gain, high_gain);
      sums[2] += row.products;
      squares.z += row.square;
    }
    if (ROWS > 3) {
      let row = row_of(first + 3, at, four, low_gain, high_gain);
      sums[3] += row.products;
      squares.w += row.square;
    }
  }

  sums[0] = together(sums[0]);
  if (ROWS > 1) { sums[1] = together(sums[1]); }
  if (ROWS > 2) { sums[2] = together(sums[2]); }
  if (ROWS > 3) { sums[3] = together(sums[3]); }
  if (NORM) { squares = together(squares); }
  // Each of a team's first lanes finishes a pair of output rows, of a row of x.
  let m = lane / 2;
  var sum = sums[0];
  if (ROWS > 1) { sum = select(sum, sums[1], m == 1); }
  if (ROWS > 2) { sum = select(sum, sums[2], m == 2); }
  if (ROWS > 3) { sum = select(sum, sums[3], m == 3); }
  if (SUMMANDS > 1) {
    let lines = team * (ROWS + 1) * LINE;
    if (lane % SUBGROUP == 0) {
      let at = lines + lane / SUBGROUP;
      sums_of[at] = sums[0];
      if (ROWS > 1) { sums_of[at + LINE] = sums[1]; }
      if (ROWS > 2) { sums_of[at + 2 * LINE] = sums[2]; }
      if (ROWS > 3) { sums_of[at + 3 * LINE] = sums[3]; }
      if (NORM) { sums_of[at + ROWS * LINE] = squares; }
    }
    workgroupBarrier();
    if (lane < 2 * ROWS) {
      sum = sum_of_line(lines + m * LINE);
      if (NORM) { squares = sum_of_line(lines + ROWS * LINE); }
    }
  }
  if (lane < 2 * ROWS) {
    let square = select(select(squares.x, squares.y, m == 1), select(squares.z, squares.w, m == 3), m > 1);
    finish(pair + lane % 2, first + m, select(sum.xy, sum.zw, lane % 2 == 1), square);
  }
}
