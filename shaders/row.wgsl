// row: the product for one row of x, Q4_0 by quads only: a live decoder step. See `product` for what it makes. For the
// kernels `linear_row` and `linear_row_subgroups`.
//
// A workgroup makes OUTPUTS output rows. Each invocation takes every WORKGROUP-th unit of 32 columns: it reads that part
// of x once, into registers, then goes through the rows by fours, the next four's weights on their way while it multiplies.
// The invocations' sums meet in workgroup memory, where MEET of them end each pair of rows. Grid: x, y over OUTPUTS rows.
//
// With PACKED by packed dot products: see `packed`. Without, all this in f32: not every adapter has an instruction for them.
// No private array and no loop over one: see `linear`.

override WORKGROUP: u32 = 96;               // a multiple of MEET
override OUTPUTS: u32 = 16;                 // a multiple of 4
override PACKED: bool = true;
override LINE: u32 = WORKGROUP + 1;         // words of a sum's line: banks do not collide
override TOGETHER: u32 = min(MEET, SUBGROUP);
override PARTS: u32 = MEET / TOGETHER;

const MEET = 16u;

var<workgroup> partial: array<f32, (OUTPUTS + 1) * LINE>;          // the last line is for squares
var<workgroup> met: array<vec3f, WORKGROUP>;

struct Part {                               // a unit of x
  packed: Columns,
  low: mat4x4f, high: mat4x4f,              // without PACKED
  minus: vec4f,
}

fn part_of(of_x: UnitOfX) -> Part {
  if (PACKED) { return Part(packed_columns(of_x.low, of_x.high), of_x.low, of_x.high, vec4f()); }
  let ones = vec4f(1);
  return Part(Columns(), of_x.low, of_x.high, -8 * (ones * of_x.low + ones * of_x.high));
}

fn in_f32(word: u32, low: vec4f, high: vec4f) -> f32 {
  return dot(vec4f(vec4u(word, word >> 8, word >> 16, word >> 24) & vec4u(15)), low)
       + dot(vec4f(vec4u(word >> 4, word >> 12, word >> 20, word >> 28) & vec4u(15)), high);
}

fn product(words: vec4u, scale: vec2u, x: Part) -> f32 {
  if (PACKED) { return packed_product(words, scale, x.packed); }
  let scales_of = vec4f(unpack2x16float(scale.x), unpack2x16float(scale.y));
  return dot(scales_of, x.minus + vec4f(in_f32(words.x, x.low[0], x.high[0]), in_f32(words.y, x.low[1], x.high[1]),
                                        in_f32(words.z, x.low[2], x.high[2]), in_f32(words.w, x.low[3], x.high[3])));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let first_pair = (group.x + group.y * groups.x) * (OUTPUTS / 2);
  let blocks = columns() / 32;
  var squares = 0.0;
  for (var unit = lane; unit < blocks; unit += WORKGROUP) {
    var next = four_rows(four_starts(first_pair, blocks), unit);
    let of_x = unit_of_x(0, unit);
    if (NORM) { squares += of_x.squares; }
    let part = part_of(of_x);
    for (var row = 0u; row < OUTPUTS; row += 4u) {
      let four = next;
      next = four_rows(four_starts(first_pair + min(row + 4, OUTPUTS - 4) / 2, blocks), unit);
      let sums = vec4f(product(four.a, four.scale_a, part), product(four.b, four.scale_b, part),
                       product(four.c, four.scale_c, part), product(four.d, four.scale_d, part));
      let line = row * LINE + lane;
      if (unit == lane) {
        partial[line] = sums.x;
        partial[line + LINE] = sums.y;
        partial[line + 2 * LINE] = sums.z;
        partial[line + 3 * LINE] = sums.w;
      } else {
        partial[line] += sums.x;
        partial[line + LINE] += sums.y;
        partial[line + 2 * LINE] += sums.z;
        partial[line + 3 * LINE] += sums.w;
      }
    }
  }
  if (NORM) { partial[OUTPUTS * LINE + lane] = squares; }
  workgroupBarrier();

  let used = min(WORKGROUP, blocks);        // invocations that had a unit
  for (var first = 0u; first < OUTPUTS / 2; first += WORKGROUP / MEET) {
    let pair = first + lane / MEET;
    let line = 2 * min(pair, OUTPUTS / 2 - 1) * LINE;
    var sums = vec3f();
    for (var i = lane % MEET; i < used; i += MEET) {
      sums += vec3f(partial[line + i], partial[line + LINE + i], 0);
      if (NORM) { sums.z += partial[OUTPUTS * LINE + i]; }
    }
    sums.x = together_one(sums.x, TOGETHER);
    sums.y = together_one(sums.y, TOGETHER);
    if (NORM) { sums.z = together_one(sums.z, TOGETHER); }
    if (PARTS > 1) {
      met[lane] = sums;
      workgroupBarrier();
      sums = vec3f();
      for (var i = 0u; i < MEET; i += TOGETHER) { sums += met[lane / MEET * MEET + i]; }
      workgroupBarrier();
    }
    if (lane % MEET == 0 && pair < OUTPUTS / 2) { finish(first_pair + pair, 0, sums.xy, sums.z); }
  }
}
