// The shape of audio: its loudness over time, drawn as bars.

const PER_PEAK = 320; // samples of a peak: 20 ms
const BAR = 4; // CSS pixels from one bar to the next
const WIDTH = 2; // of a bar
const QUIETEST = 0.05; // amplitude that still fills the height, so that noise does not

// Grows with the samples that it takes.
export class Peaks {
  constructor() {
    this.values = []; // largest amplitudes, 0 to 1
    this._fill = 0; // samples of the last one
    this._bars = { of: 0, bars: [] }; // what `in` gave for so many values
  }

  take(samples) {
    for (let at = 0; at < samples.length; ) {
      if (this._fill === 0) this.values.push(0);
      const end = Math.min(samples.length, at + PER_PEAK - this._fill);
      let most = this.values[this.values.length - 1];
      this._fill = (this._fill + end - at) % PER_PEAK;
      for (; at < end; at++) most = Math.max(most, Math.abs(samples[at]));
      this.values[this.values.length - 1] = most;
    }
  }

  // Of audio from its start, {blocks()}.
  static async of(audio) {
    const peaks = new Peaks();
    for await (const samples of audio.blocks()) peaks.take(samples);
    return peaks;
  }

  // The largest ones in `count` equal stretches.
  in(count) {
    const { values } = this;
    // Hours of audio are drawn at each frame while they play.
    if (this._bars.of === values.length && this._bars.bars.length === count) return this._bars.bars;
    const bars = Array.from({ length: count }, (_, i) => {
      const from = Math.floor((i * values.length) / count);
      const to = Math.max(from + 1, Math.floor(((i + 1) * values.length) / count));
      let most = 0;
      for (let at = from; at < to && at < values.length; at++) most = Math.max(most, values[at]);
      return most;
    });
    this._bars = { of: values.length, bars };
    return bars;
  }
}

// Draws all of it over the whole canvas. played: how much of it was heard, 0 to 1. The canvas's style has the colours:
// `color`, and `accent-color` for what was heard.
export function drawWave(canvas, peaks, played) {
  const scale = devicePixelRatio;
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const { color, accentColor } = getComputedStyle(canvas);
  const bars = peaks.in(Math.floor(width / BAR));
  const loudest = bars.reduce((most, peak) => Math.max(most, peak), QUIETEST);
  bars.forEach((peak, i) => {
    const tall = Math.max(WIDTH, (peak / loudest) * height);
    context.fillStyle = i < played * bars.length ? accentColor : color;
    context.beginPath();
    context.roundRect(i * BAR, (height - tall) / 2, WIDTH, tall, WIDTH / 2);
    context.fill();
  });
}
