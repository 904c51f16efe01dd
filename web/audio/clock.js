// Holds the recorder's clock against the wall's. A busy system drops sound without a word; then the recording is shorter
// than the time it took.

const WINDOW = 2; // seconds: sound may come late, all at once, so only the least lateness of a window counts
const LEAST = 0.1; // seconds of missing sound that are told; less is added up
const DRIFT = 0.0005; // seconds a second by which a sound card's clock may be slow

export class Clock {
  _onTime = null; // lateness in seconds of sound that nothing is missing before
  _lastOnTime = 0; // seconds of sound up to the last block that was on time
  _begun = null; // wall time of the window's first block, in seconds
  _least = Infinity; // lateness in the window

  // seconds: of sound up to this block's end; wall: the time then, in seconds. Returns {at, seconds}, the sound that
  // is missing after `at` seconds of the recording, or null.
  take(seconds, wall) {
    const gap = wall - this._begun >= WINDOW ? this._judge() : null;
    this._begun ??= wall;
    const late = wall - seconds;
    this._least = Math.min(this._least, late);
    if (this._onTime === null || late - this._onTime < LEAST) this._lastOnTime = seconds;
    return gap;
  }

  // A window is over.
  _judge() {
    const least = this._least;
    const missing = least - (this._onTime ?? least) - DRIFT * WINDOW;
    const isTold = missing >= LEAST;
    if (this._onTime === null || isTold || missing < 0) this._onTime = least;
    else this._onTime += DRIFT * WINDOW;
    this._begun = null;
    this._least = Infinity;
    return isTold ? { at: this._lastOnTime, seconds: missing } : null;
  }
}
