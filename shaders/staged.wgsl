// staged: the product for one row of x or a few, Q4_0 by quads and packed dot products only. See `product` for what it
// makes, and `packed` for how. For the kernels `linear_staged` and `linear_staged_subgroups`.
//
// A workgroup keeps the bytes of CHUNK units of 32 columns, of ROWS rows of x, in workgroup memory, where all its teams meet
// them: x is read and packed once for OUTPUTS rows a team. A team is LANES invocations that make OUTPUTS output rows
// together: each takes every LANES-th unit of all of them, the next unit's weights on their way while it multiplies; the
// first unit's are before x is. The fewer lanes, the more rows share what is kept; the more, the more weights are on their
// way. Grid: x, y over the teams' rows, z over rows of x by ROWS.
// No private array and no loop over one: see `linear`.

override WORKGROUP: u32 = 128;
override LANES: u32 = 32;
override OUTPUTS: u32 = 4;                  // 4 or 8
override ROWS: u32 = 1;                     // 1 or 2
override CHUNK: u32 = 96;                   // a multiple of 4 that divides the units of x

override TEAMS: u32 = WORKGROUP / LANES;
override STAGED: u32 = CHUNK * ROWS * 7;    // a unit's bytes are six vectors, and one for the sums
override TOGETHER: u32 = min(LANES, SUBGROUP);      // lanes whose sums need no memory to meet
override PARTS: u32 = LANES / TOGETHER;
override LINE: u32 = PARTS + 1;             // vectors of a line of sums: banks do not collide
override FOURS: u32 = ROWS * OUTPUTS / 4;   // lines of a team, before that of squares
override SUMS: u32 = TEAMS * (FOURS + 1) * LINE;

var<workgroup> staged: array<vec4u, max(STAGED, SUMS)>;
var<workgroup> scale_of: array<f32, CHUNK * ROWS>;
var<workgroup> squares_of: array<f32, CHUNK * ROWS>;

fn products(four: Four, x: Columns) -> vec4f {
  return vec4f(packed_product(four.a, four.scale_a, x), packed_product(four.b, four.scale_b, x),
               packed_product(four.c, four.scale_c, x), packed_product(four.d, four.scale_d, x));
}

// Packs a unit of row m of x, times gain, into a slot.
fn stage(m: u32, unit: u32, slot: u32) {
  let of_x = unit_of_x(m, unit);
  if (NORM) { squares_of[slot] = of_x.squares; }
  let columns = packed_columns(of_x.low, of_x.high);
  let first = 7 * slot;
  staged[first] = columns.low0;
  staged[first + 1] = columns.low1;
  staged[first + 2] = columns.low2;
  staged[first + 3] = columns.high0;
  staged[first + 4] = columns.high1;
  staged[first + 5] = columns.high2;
  staged[first + 6] = bitcast<vec4u>(columns.minus);
  scale_of[slot] = columns.scale;
}

fn columns_of(slot: u32) -> Columns {
  let first = 7 * slot;
  return Columns(staged[first], staged[first + 1], staged[first + 2], staged[first + 3], staged[first + 4], staged[first + 5],
                 bitcast<vec4i>(staged[first + 6]), scale_of[slot]);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let team = local / LANES;
  let lane = local % LANES;
  let first_pair = (group.x + group.y * groups.x) * (TEAMS * OUTPUTS / 2);
  let pair = first_pair + team * OUTPUTS / 2;
  let m = group.z * ROWS;
  let blocks = columns() / 32;
  let starts_a = four_starts(pair, blocks);
  let starts_b = four_starts(pair + 2, blocks);
  var next_a = four_rows(starts_a, min(lane, blocks - 1));
  var next_b = next_a;
  if (OUTPUTS > 4) { next_b = four_rows(starts_b, min(lane, blocks - 1)); }

  var sums_a = mat2x4f();                   // a column for each row of x
  var sums_b = mat2x4f();
  var squares = vec2f();
  for (var first = 0u; first < blocks; first += CHUNK) {
    if (first > 0) { workgroupBarrier(); }
    for (var i = local; i < CHUNK * ROWS; i += WORKGROUP) {
      var row = m;                          // one row waits for no parameter
      if (ROWS > 1) { row = min(m + i / CHUNK, params.rows - 1); }
      stage(row, first + i % CHUNK, i);
    }
    workgroupBarrier();
    for (var unit = lane; unit < CHUNK; unit += LANES) {
      // In the next chunk a lane begins anew.
      let following = select(unit + LANES, CHUNK + lane, unit + LANES >= CHUNK);
      let after = min(first + following, blocks - 1);
      let a = next_a;
      let b = next_b;
      let x0 = columns_of(unit);
      var x1 = x0;
      if (ROWS > 1) { x1 = columns_of(unit + CHUNK); }
      if (NORM) {
        squares.x += squares_of[unit];
        if (ROWS > 1) { squares.y += squares_of[unit + CHUNK]; }
      }
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

  // A team's first lanes end, with a pair each; what other lanes have for it meets them in workgroup memory.
  let four = lane / 2 / ROWS;
  let row = lane / 2 % ROWS;
  sums_a[0] = together(sums_a[0], TOGETHER);
  if (ROWS > 1) { sums_a[1] = together(sums_a[1], TOGETHER); }
  if (OUTPUTS > 4) {
    sums_b[0] = together(sums_b[0], TOGETHER);
    if (ROWS > 1) { sums_b[1] = together(sums_b[1], TOGETHER); }
  }
  if (NORM) {
    squares.x = together_one(squares.x, TOGETHER);
    if (ROWS > 1) { squares.y = together_one(squares.y, TOGETHER); }
  }
  var sums = sums_a[0];
  if (ROWS > 1) { sums = select(sums, sums_a[1], row == 1); }
  if (OUTPUTS > 4) { sums = select(sums, select(sums_b[0], sums_b[1], row == 1), four == 1); }
  if (PARTS > 1) {
    workgroupBarrier();
    let lines = team * (FOURS + 1) * LINE;
    if (lane % TOGETHER == 0) {
      let at = lines + lane / TOGETHER;
      staged[at] = bitcast<vec4u>(sums_a[0]);
      if (ROWS > 1) { staged[at + LINE] = bitcast<vec4u>(sums_a[1]); }
      if (OUTPUTS > 4) {
        staged[at + ROWS * LINE] = bitcast<vec4u>(sums_b[0]);
        if (ROWS > 1) { staged[at + (ROWS + 1) * LINE] = bitcast<vec4u>(sums_b[1]); }
      }
      if (NORM) { staged[at + FOURS * LINE] = bitcast<vec4u>(vec4f(squares, 0, 0)); }
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
  if (PARTS % 4 == 0) {                     // four on their way at a time
    for (var i = first; i < first + PARTS; i += 4u) {
      sum += bitcast<vec4f>(staged[i]) + bitcast<vec4f>(staged[i + 1])
           + bitcast<vec4f>(staged[i + 2]) + bitcast<vec4f>(staged[i + 3]);
    }
    return sum;
  }
  for (var i = first; i < first + PARTS; i++) { sum += bitcast<vec4f>(staged[i]); }
  return sum;
}
