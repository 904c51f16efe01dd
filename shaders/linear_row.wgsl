// with gelu product packed
// linear_row: the product for one row of x, Q4_0 by quads only: a live decoder step. See `product` for what it makes.
//
// A workgroup makes OUTPUTS output rows. Each invocation takes every WORKGROUP-th unit of 32 columns: it reads that part
// of x once, into registers, then goes through the rows by fours, the next four's weights on their way while it multiplies.
// The invocations' sums meet in workgroup memory, first by eights. Grid: x, y over OUTPUTS rows.
//
// With PACKED by packed dot products: see `packed`. Without, all this in f32: not every adapter has an instruction for them.
// No private array and no loop over one: see `linear`.

override WORKGROUP: u32 = 96;
override OUTPUTS: u32 = 16;                 // a multiple of 4
override PACKED: bool = true;
override LINE: u32 = WORKGROUP + 1;         // words of a sum's line: banks do not collide
override EIGHTHS: u32 = (WORKGROUP + 7) / 8;

var<workgroup> partial: array<f32, (OUTPUTS + 1) * LINE>;          // the last line is for squares
var<workgroup> eighths: array<f32, (OUTPUTS + 1) * EIGHTHS>;

struct Four {                               // output rows' words and scales of a unit
  a: vec4u, b: vec4u, c: vec4u, d: vec4u,
  scale_a: vec2u, scale_b: vec2u, scale_c: vec2u, scale_d: vec2u,
}

struct UnitOfX {                            // a unit's part of x, times gain
  packed: Columns,
  low: mat4x4f, high: mat4x4f,              // without PACKED: of word i's low nibbles, and of its high ones
  minus: vec4f,
}

fn four_rows(pair: u32, last_pair: u32, blocks: u32, unit: u32) -> Four {
  let starts = vec4u(pair_rows(min(pair, last_pair)), pair_rows(min(pair + 1, last_pair))) * blocks + unit;
  return Four(weights[starts.x], weights[starts.y], weights[starts.z], weights[starts.w],
              scales[starts.x / 4], scales[starts.y / 4], scales[starts.z / 4], scales[starts.w / 4]);
}

fn unit_of_x(low: mat4x4f, high: mat4x4f) -> UnitOfX {
  if (PACKED) { return UnitOfX(packed_columns(low, high), low, high, vec4f()); }
  let ones = vec4f(1);
  return UnitOfX(Columns(), low, high, -8 * (ones * low + ones * high));
}

fn in_f32(word: u32, low: vec4f, high: vec4f) -> f32 {
  return dot(vec4f(vec4u(word, word >> 8, word >> 16, word >> 24) & vec4u(15)), low)
       + dot(vec4f(vec4u(word >> 4, word >> 12, word >> 20, word >> 28) & vec4u(15)), high);
}

fn product(words: vec4u, scale: vec2u, x: UnitOfX) -> f32 {
  if (PACKED) { return packed_product(words, scale, x.packed); }
  let scales_of = vec4f(unpack2x16float(scale.x), unpack2x16float(scale.y));
  return dot(scales_of, x.minus + vec4f(in_f32(words.x, x.low[0], x.high[0]), in_f32(words.y, x.low[1], x.high[1]),
                                        in_f32(words.z, x.low[2], x.high[2]), in_f32(words.w, x.low[3], x.high[3])));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let last_pair = (params.outputs + 1) / 2 - 1;
  let first_pair = (group.x + group.y * groups.x) * (OUTPUTS / 2);
  let blocks = params.columns / 32;
  var squares = 0.0;
  for (var unit = lane; unit < blocks; unit += WORKGROUP) {
    var next = four_rows(first_pair, last_pair, blocks, unit);
    let at = (unit & ~3u) * 8 + unit % 4;
    var low = mat4x4f(x[at], x[at + 8], x[at + 16], x[at + 24]);
    var high = mat4x4f(x[at + 4], x[at + 12], x[at + 20], x[at + 28]);
    if (NORM) {
      squares += dot(low[0], low[0]) + dot(low[1], low[1]) + dot(low[2], low[2]) + dot(low[3], low[3])
               + dot(high[0], high[0]) + dot(high[1], high[1]) + dot(high[2], high[2]) + dot(high[3], high[3]);
      low = mat4x4f(low[0] * gain[at], low[1] * gain[at + 8], low[2] * gain[at + 16], low[3] * gain[at + 24]);
      high = mat4x4f(high[0] * gain[at + 4], high[1] * gain[at + 12], high[2] * gain[at + 20], high[3] * gain[at + 28]);
    }
    let part = unit_of_x(low, high);
    for (var row = 0u; row < OUTPUTS; row += 4u) {
      let four = next;
      next = four_rows(first_pair + min(row + 4, OUTPUTS - 4) / 2, last_pair, blocks, unit);
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
  for (var i = lane; i < (OUTPUTS + 1) * EIGHTHS; i += WORKGROUP) {
    let lead = i % EIGHTHS * 8;
    let line = i / EIGHTHS * LINE;
    var sum = 0.0;
    if (lead + 7 < used) {
      let at = line + lead;
      sum = partial[at] + partial[at + 1] + partial[at + 2] + partial[at + 3]
          + partial[at + 4] + partial[at + 5] + partial[at + 6] + partial[at + 7];
    } else {
      for (var j = lead; j < used; j++) { sum += partial[line + j]; }
    }
    eighths[i] = sum;
  }
  workgroupBarrier();
  for (var pair = lane; pair < OUTPUTS / 2; pair += WORKGROUP) {
    var sums = vec3f();
    for (var i = 0u; i < EIGHTHS; i++) {
      sums += vec3f(eighths[2 * pair * EIGHTHS + i], eighths[(2 * pair + 1) * EIGHTHS + i], eighths[OUTPUTS * EIGHTHS + i]);
    }
    finish(first_pair + pair, 0, sums.xy, sums.z);
  }
}
