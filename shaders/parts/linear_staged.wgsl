// parts/linear_staged: `parts/linear` for one row of x or a few, types in blocks only. The kernels `linear_staged` and
// `linear_staged_subgroups` consist of it and of `parts/q4_0_dot`, which has the products; those with `_blocks` in their
// names of it and of `parts/blocks_dot`.
//
// Grid: x over rows of x by ROWS, y, z over the teams' output rows. Precision: f32, or see `parts/dot`.
// Why this variant: x is read, and packed, once for all output rows of a workgroup. With PACKED it multiplies by packed
// dot products; without, in f32: not every GPU has an instruction for them.
// A workgroup keeps CHUNK blocks of 32 columns, of ROWS rows of x, in workgroup memory for all its teams. A team is
// LANES invocations that make OUTPUTS output rows together: each takes every LANES-th block of all of them. The next
// block's weights are under way while it multiplies, and the first block's before x is kept. With fewer lanes, more
// output rows share what is kept; with more lanes, more weights are under way.
// No private array is indexed: see `linear_plain`.
// uses: NORM, params, x, gain, columns, finish from parts/linear; largest, scale_for, whole, four_starts from parts/dot;
// keep_bytes, keep_floats, block_of, products, four_rows from parts/q4_0_dot or parts/blocks_dot; SUBGROUP, together, together_one,
// largest_of_four from parts/sums_in_memory or parts/sums_in_subgroups

override WORKGROUP: u32 = 128;
override LANES: u32 = 32;
override OUTPUTS: u32 = 4;                  // 4 or 8
override ROWS: u32 = 1;                     // 1 or 2
override CHUNK: u32 = 64;                   // a divisor of the blocks in a row of x
override PACKED: bool = true;
override X_FIRST: bool = false;             // read x before the first weights: it comes sooner, in more registers

override TEAMS: u32 = WORKGROUP / LANES;
override SUMMANDS: u32 = LANES / SUBGROUP;   // partial sums of a team that must be added through workgroup memory
override LINE: u32 = SUMMANDS + 1;          // vectors between two lines of sums: banks do not collide
override SQUARES: u32 = WORKGROUP / SUBGROUP;
override FOURS: u32 = ROWS * OUTPUTS / 4;   // lines of a team, before the line of squares
override SUMS: u32 = TEAMS * (FOURS + 1) * LINE;

// A block of x, times gain, as the dot part keeps it. There are nine vectors so that banks do not collide.
var<workgroup> kept: array<array<vec4u, 9>, CHUNK * ROWS>;
var<workgroup> scale_of_kept: array<f32, CHUNK * ROWS>;
var<workgroup> squares_of: array<vec2f, SQUARES>; // sums from SUBGROUP invocations, for each row of x
var<workgroup> sums_of: array<vec4f, SUMS>;

// The columns of x for a word's low nibbles, those for its high nibbles, and their gains.
struct Eight { low: vec4f, high: vec4f, low_gain: vec4f, high_gain: vec4f }

// The same for the i-th word from block `first` on.
fn read_x(m: u32, first: u32, i: u32) -> Eight {
  let at = 8 * (first + i / 4) + i % 4;
  let of_x = m * (columns() / 4) + at;
  if (NORM) { return Eight(x[of_x], x[of_x + 4], gain[at], gain[at + 4]); }
  return Eight(x[of_x], x[of_x + 4], vec4f(1), vec4f(1));
}

// Brings CHUNK blocks of row m of x, from block `first` on, word by word, four invocations a block, and keeps them as
// row `row`. Returns the sum of the squares of what this invocation brought. `first_word` is its first word if `have`.
fn bring(m: u32, first: u32, row: u32, local: u32, have: bool, first_word: Eight) -> f32 {
  var squares = 0.0;
  for (var base = 0u; base < 4 * CHUNK; base += WORKGROUP) {       // uniform, as invocations compare values
    let i = min(base + local, 4 * CHUNK - 1);
    let here = base + local < 4 * CHUNK;
    let w = i % 4;
    var of_x = first_word;
    if (!have || base > 0) { of_x = read_x(m, first, i); }
    var low = of_x.low;
    var high = of_x.high;
    if (NORM) {
      if (here) { squares += dot(low, low) + dot(high, high); }
      low *= of_x.low_gain;
      high *= of_x.high_gain;
    }
    if (PACKED) {
      let scale = scale_for(largest_of_four(largest(low, high), local));
      if (here) { keep_bytes(row * CHUNK + i / 4, w, whole(low, scale.to_whole), whole(high, scale.to_whole), scale.of_whole); }
    } else {
      keep_floats(row * CHUNK + i / 4, w, low, high);
    }
  }
  return squares;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let team = local / LANES;
  let lane = local % LANES;
  let first_pair = (group.y + group.z * groups.y) * (TEAMS * OUTPUTS / 2);
  let pair = first_pair + team * OUTPUTS / 2;
  let m = group.x * ROWS;
  let blocks = columns() / 32;
  let starts_a = four_starts(pair, blocks);
  let starts_b = four_starts(pair + 2, blocks);
  var x_first: Eight;
  if (X_FIRST) { x_first = read_x(m, 0, min(local, 4 * CHUNK - 1)); }
  var next_a = four_rows(starts_a, min(lane, blocks - 1));
  var next_b = next_a;
  if (OUTPUTS > 4) { next_b = four_rows(starts_b, min(lane, blocks - 1)); }

  var sums_a = mat2x4f();                   // a column for each row of x
  var sums_b = mat2x4f();
  var squares = vec2f();
  for (var first = 0u; first < blocks; first += CHUNK) {
    if (first > 0) { workgroupBarrier(); }
    squares.x += bring(m, first, 0, local, X_FIRST && first == 0, x_first);
    if (ROWS > 1) { squares.y += bring(min(m + 1, params.rows - 1), first, 1, local, false, x_first); }
    if (NORM) {
      var met = vec2f(together_one(squares.x), 0);
      if (ROWS > 1) { met.y = together_one(squares.y); }
      if (local % SUBGROUP == 0) { squares_of[local / SUBGROUP] = met; }
    }
    workgroupBarrier();
    for (var i = lane; i < CHUNK; i += LANES) {
      // In the next chunk, a lane begins with its own first block.
      let following = select(i + LANES, CHUNK + lane, i + LANES >= CHUNK);
      let after = min(first + following, blocks - 1);
      let a = next_a;
      let b = next_b;
      let x0 = block_of(i);
      var x1 = x0;
      if (ROWS > 1) { x1 = block_of(i + CHUNK); }
      next_a = four_rows(starts_a, after);
      sums_a[0] += products(a, x0);
      if (ROWS > 1) { sums_a[1] += products(a, x1); }
      if (OUTPUTS > 4) {
        next_b = four_rows(starts_b, after);
        sums_b[0] += products(b, x0);
        if (ROWS > 1) { sums_b[1] += products(b, x1); }
      }
    }
  }
  if (NORM) {                               // each team adds up what all invocations brought
    squares = vec2f();
    for (var i = lane; i < SQUARES; i += LANES) { squares += squares_of[i]; }
  }

  // Each of a team's first lanes finishes a pair; it gets the other lanes' partial sums through workgroup memory.
  let four = lane / 2 / ROWS;
  let row = lane / 2 % ROWS;
  sums_a[0] = together(sums_a[0]);
  if (ROWS > 1) { sums_a[1] = together(sums_a[1]); }
  if (OUTPUTS > 4) {
    sums_b[0] = together(sums_b[0]);
    if (ROWS > 1) { sums_b[1] = together(sums_b[1]); }
  }
  if (NORM) {
    squares.x = together_one(squares.x);
    if (ROWS > 1) { squares.y = together_one(squares.y); }
  }
  var sums = sums_a[0];
  if (ROWS > 1) { sums = select(sums, sums_a[1], row == 1); }
  if (OUTPUTS > 4) { sums = select(sums, select(sums_b[0], sums_b[1], row == 1), four == 1); }
  if (SUMMANDS > 1) {
    let lines = team * (FOURS + 1) * LINE;
    if (lane % SUBGROUP == 0) {
      let at = lines + lane / SUBGROUP;
      sums_of[at] = sums_a[0];
      if (ROWS > 1) { sums_of[at + LINE] = sums_a[1]; }
      if (OUTPUTS > 4) {
        sums_of[at + ROWS * LINE] = sums_b[0];
        if (ROWS > 1) { sums_of[at + (ROWS + 1) * LINE] = sums_b[1]; }
      }
      if (NORM) { sums_of[at + FOURS * LINE] = vec4f(squares, 0, 0); }
    }
    workgroupBarrier();
    if (lane < 2 * FOURS) {
      sums = sum_of_line(lines + lane / 2 * LINE);
      if (NORM) { squares = sum_of_line(lines + FOURS * LINE).xy; }
    }
  }
  if (lane < 2 * FOURS) {
    let second = lane % 2;
    finish(pair + 2 * four + second, m + row, select(sums.xy, sums.zw, second == 1), select(squares.x, squares.y, row == 1));
  }
}

fn sum_of_line(first: u32) -> vec4f {
  var sum = vec4f();
  if (SUMMANDS % 4 == 0) {                     // four loads under way at a time
    for (var i = first; i < first + SUMMANDS; i += 4u) { sum += sums_of[i] + sums_of[i + 1] + sums_of[i + 2] + sums_of[i + 3]; }
    return sum;
  }
  for (var i = first; i < first + SUMMANDS; i++) { sum += sums_of[i]; }
  return sum;
}
