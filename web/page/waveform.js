// The shape of audio, as bars.

export const BAR = 4; // CSS pixels from one bar to the next
const WIDTH = 2; // of a bar

// The largest amplitude in each of `count` equal stretches of the samples, 0 to 1.
export function peaksOf(samples, count) {
  const peaks = new Float32Array(count);
  for (let i = 0; i < samples.length; i++) {
    const at = Math.floor((i * count) / samples.length);
    peaks[at] = Math.max(peaks[at], Math.abs(samples[i]));
  }
  return peaks;
}

// Draws the peaks over the whole canvas. played: how much of it was heard, 0 to 1.
export function drawWave(canvas, peaks, played) {
  const scale = devicePixelRatio;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const { color, accentColor } = getComputedStyle(canvas);
  const loudest = Math.max(0.05, ...peaks);
  peaks.forEach((peak, i) => {
    const tall = Math.max(WIDTH, (peak / loudest) * height);
    context.fillStyle = i < played * peaks.length ? accentColor : color;
    context.beginPath();
    context.roundRect(i * BAR, (height - tall) / 2, WIDTH, tall, WIDTH / 2);
    context.fill();
  });
}
