// The shape of audio: its loudness over time, which wavesurfer.js draws as bars.

import { SAMPLE_RATE } from "../config.js";

const LIBRARY = new URL("../wavesurfer/wavesurfer.js", import.meta.url).href; // tools/build_site puts it there
const PER_PEAK = 320; // samples of a peak at first: 20 ms
const MOST_PEAKS = 1 << 14; // more than any screen has bars; with the peaks of hours, drawing would take 0.1 s
const BAR = 2; // CSS pixels of a bar, and of the gap to the next
const QUIETEST = 0.05; // amplitude that still fills the height, so that noise does not

// Grows with the samples that it takes.
export class Peaks {
  constructor() {
    this.values = []; // largest amplitudes, 0 to 1
    this.loudest = QUIETEST; // of them
    this._each = PER_PEAK; // samples of each
    this._fill = 0; // samples of the last one
  }

  take(samples) {
    for (let at = 0; at < samples.length; ) {
      if (this._fill === 0) this._begin();
      const end = Math.min(samples.length, at + this._each - this._fill);
      let most = this.values[this.values.length - 1];
      this._fill = (this._fill + end - at) % this._each;
      for (; at < end; at++) most = Math.max(most, Math.abs(samples[at]));
      this.values[this.values.length - 1] = most;
      this.loudest = Math.max(this.loudest, most);
    }
  }

  // Up to this second, nothing is known.
  reach(seconds) {
    while (this.values.length * this._each < seconds * SAMPLE_RATE) this._begin();
  }

  // A new peak. Where there are too many, two become one first.
  _begin() {
    if (this.values.length === MOST_PEAKS) {
      this.values = this.values.flatMap((peak, i, all) => (i % 2 ? [] : Math.max(peak, all[i + 1])));
      this._each *= 2;
    }
    this.values.push(0);
  }

  // Of audio from its start, {blocks()}.
  static async of(audio) {
    const peaks = new Peaks();
    for await (const samples of audio.blocks()) peaks.take(samples);
    return peaks;
  }
}

// wavesurfer.js writes its elements as HTML, and Trusted Types ask the policy of this name about each such text. It lets
// only those through in which nothing runs; of styles, web/headers.json lets through the one whose sum it has.
const PLAIN = /^[^<]*(?:<\/?(?:style|div)(?: (?:class|part)="\w+")*>[^<]*)*$/;
/** @type {any} */ (globalThis).trustedTypes?.createPolicy("default", {
  createHTML: (html) => (PLAIN.test(html) ? html : null),
});

// A waveform in an element, whose style has the colours: `color`, and `accent-color` for what was heard.
export class Wave {
  // seek: called with the second at which the user clicks, or to which they drag.
  constructor(box, seek = (_) => {}) {
    this._box = box;
    this._seek = seek;
    this._drawing = null; // a promise of the library's WaveSurfer, or of null where the site lacks it
  }

  // Draws it. peaks: Peaks; seconds: how long the audio is.
  async show(peaks, seconds) {
    this._drawing ??= this._begin();
    const wave = await this._drawing;
    wave?.setOptions({ maxPeak: peaks.loudest });
    await wave?.load("", [peaks.values], seconds).catch(() => {}); // another one is drawn, or there is nothing to draw
    wave?.setTime(0);
  }

  // Marks what was heard: all before this second.
  async heard(seconds) {
    (await this._drawing)?.setTime(seconds);
  }

  async _begin() {
    const { default: WaveSurfer } = await import(LIBRARY).catch(() => ({}));
    if (!WaveSurfer) return null;
    const bars = { barWidth: BAR, barGap: BAR, barRadius: BAR / 2, barMinHeight: BAR, cursorWidth: 0, normalize: true };
    const wave = WaveSurfer.create({ container: this._box, dragToSeek: { debounceTime: 0 }, ...bars });
    wave.on("interaction", this._seek);
    const dress = () => {
      const { color, accentColor } = getComputedStyle(this._box);
      // The height comes only now: a style with another one in it would have another sum.
      wave.setOptions({ waveColor: color, progressColor: accentColor, height: "auto" });
    };
    for (const wish of ["(prefers-color-scheme: dark)", "(forced-colors: active)"])
      matchMedia(wish).addEventListener("change", dress);
    dress();
    return wave;
  }
}
