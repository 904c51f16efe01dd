// parts/gelu: the exact GELU, gelu(v) = v / 2 (1 + erf(v / sqrt(2))).

// Abramowitz and Stegun 7.1.26, |error| <= 1.5e-7.
fn erf(v: f32) -> f32 {
  let t = 1 / (1 + 0.3275911 * abs(v));
  let tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return sign(v) * (1 - tail * exp(-v * v));
}

fn gelu(v: f32) -> f32 { return 0.5 * v * (1 + erf(v * 0.7071067811865476)); }
