// Judges how loud live sound is, so that the user can be told when it is too quiet or too loud to be understood.

const WINDOW = 3; // seconds
const SILENT = 1e-4; // a peak that no open microphone stays below
const SPEECH = 0.03; // a peak that speech goes beyond: -30 dB
const QUIET_SECONDS = 6; // without such a peak, from the start on
const CLIPPED = 0.999;
const CLIPPED_BLOCKS = 5; // in a window

export class Loudness {
  _recent = []; // [seconds, peak] of the window
  _heard = false; // something as loud as speech

  // seconds: of sound so far; peak: of the sound since the last call, 0 to 1. Returns what is wrong: "silent", "quiet",
  // "clipped", or null.
  take(seconds, peak) {
    this._recent.push([seconds, peak]);
    while (this._recent[0][0] < seconds - WINDOW) this._recent.shift();
    this._heard ||= peak >= SPEECH;
    const peaks = this._recent.map(([, each]) => each);
    if (peaks.filter((each) => each >= CLIPPED).length >= CLIPPED_BLOCKS) return "clipped";
    if (seconds >= WINDOW && Math.max(...peaks) < SILENT) return "silent";
    return !this._heard && seconds >= QUIET_SECONDS ? "quiet" : null;
  }
}
