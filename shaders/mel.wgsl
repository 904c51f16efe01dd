// with step
// mel: samples -> log-mel frames (spec 2.3).
//   X[k] = sum_n hann[n] x[160 f + n] exp(-2 pi i n k / 400),  k = 0..200
//   out[f, b] = (max(log10(max(sum_k filter[k, b] |X[k]|^2, 1e-10)), FLOOR) + 4) / 4
// Frames before the stream's first one are zero, as the convolution's padding is.
//
// samples [160 (frames - 1) + 400] f32; waves [400] (cos, sin)(2 pi n / 400);
// filters [128, 1 + TAPS]: first bin, then the weights of TAPS consecutive bins; out [frames, 128] f32.
// Grid: a workgroup for each frame. Precision: f32 with Kahan's sums, because next to a loud bin, quiet bins would be
// mostly rounding error: the logarithm is within 1e-5 of float64 instead of 4e-5, an error that the layers multiply.
// With n = 20 p + q and r = k mod 20, the sum over p depends on q and r only, and is the conjugate for 20 - r, as
// samples are real: 220 short sums, then 201 of 20 terms, a tenth of a direct transform's cost.
// It uses little workgroup memory: SwiftShader needs about 80 kB to compile each word of it.
// uses: Step from parts/step

override WORKGROUP: u32 = 64;
override TAPS: u32 = 9;
override FLOOR: f32 = -6.5;                 // global_log_mel_max 1.5, less 8

struct Params { frames: u32, frames_per_position: u32, context: u32, zero: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> samples: array<f32>;
@group(0) @binding(3) var<storage, read> waves: array<vec2f>;
@group(0) @binding(4) var<storage, read> filters: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

const HALF = 11u;                           // r = 0..10
var<workgroup> partial: array<vec2f, 20 * HALF>;            // [q, r]
var<workgroup> power: array<f32, 201>;

fn rotated(value: vec2f, angle: u32) -> vec2f {
  let wave = waves[angle % 400];
  return vec2f(value.x * wave.x + value.y * wave.y, value.y * wave.x - value.x * wave.y);
}

// Adds a term to (sum, what its rounding has lost so far). Some drivers' compilers (Mesa's) simplify (a + b) - a to b;
// OR-ing a uniform that is always 0 stops that optimisation.
fn add(total: vec4f, term: vec2f) -> vec4f {
  let y = term - total.zw;
  let sum = bitcast<vec2f>(bitcast<vec2u>(total.xy + y) | vec2u(params.zero));
  return vec4f(sum, (sum - total.xy) - y);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let frame = group.x;
  for (var i = lane; i < 20 * HALF; i += WORKGROUP) {
    let q = i / HALF;
    let r = i % HALF;
    var total = vec4f(0);
    for (var p = 0u; p < 20; p++) {
      let n = 20 * p + q;
      let windowed = samples[160 * frame + n] * (0.5 - 0.5 * waves[n].x);
      total = add(total, rotated(vec2f(windowed, 0), 20 * p * r));
    }
    partial[i] = total.xy;
  }
  workgroupBarrier();
  for (var k = lane; k < 201; k += WORKGROUP) {
    let r = k % 20;
    let mirrored = r >= HALF;
    var total = vec4f(0);
    for (var q = 0u; q < 20; q++) {
      let sum = partial[q * HALF + select(r, 20 - r, mirrored)];
      total = add(total, rotated(vec2f(sum.x, select(sum.y, -sum.y, mirrored)), q * k));
    }
    power[k] = dot(total.xy, total.xy);
  }
  workgroupBarrier();
  let before_stream = step.position * params.frames_per_position + frame < params.context;
  for (var b = lane; b < 128; b += WORKGROUP) {
    let first = u32(filters[b * (1 + TAPS)]);
    var sum = 0.0;
    for (var t = 0u; t < TAPS; t++) {
      sum += filters[b * (1 + TAPS) + 1 + t] * power[min(first + t, 200)];
    }
    let level = max(log(max(sum, 1e-10)) * 0.4342944819032518, FLOOR);
    out[frame * 128 + b] = select((level + 4) / 4, 0, before_stream);
  }
}
