// with step gelu linear
// linear_join: `parts/linear` for the sums that SPLITS workgroups of `linear_tile` made of each output: adds them up.
//   out = ending(sum_s x[s, m, o] + bias[o])
// x [SPLITS, rows, outputs] f32, outputs a multiple of 4; ENDING is STORE, GELU or ADD. Precision: f32.
// Grid: x, y over four outputs of a row, one an invocation.
// uses: params, x, height, finish from parts/linear

override WORKGROUP: u32 = 64;
override SPLITS: u32 = 2;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let i = (group.x + group.y * groups.x) * WORKGROUP + local;
  let fours = height() / 4;
  let row = i / fours;
  if (row >= params.rows) { return; }
  var sum = x[i];
  for (var split = 1u; split < SPLITS; split++) { sum += x[split * params.rows * fours + i]; }
  finish(i % fours * 2, row, sum.xy, 0);
  finish(i % fours * 2 + 1, row, sum.zw, 0);
}
