// A microphone, or what a tab plays -> a Recording.

import { Failure } from "../failure.js";
import { Clock } from "./clock.js";
import { Recording } from "./recording.js";
import { didNotStart, openStream, SHARED } from "./sources.js";

const FIRST_SOUND_MS = 4000; // an audio system that has not started by then never will
const PAUSE_MS = 1500; // blocks of sound come every 80 ms: after this long without one, the system has paused them
const STOP_MS = 500; // how long the last block is waited for: a suspended context never answers

const ignore = (..._) => {};

export class Microphone {
  _stopping = null; // a promise, once it was asked to stop
  _stream = null;
  _isOwn = false;
  _released = new AbortController(); // aborted once nothing is heard any more

  isPaused = false; // by pause()
  isMissing = false; // the device that was asked for is not there, and another one stands in for it

  // source: {device, isNoisy}, see sources.js.
  // keep(): returns the port that the sound is also sent to; called once the user has allowed the microphone.
  // onlevel(seconds, peak): the length of the recording, and the loudest sample (0 to 1) since the last call.
  // onpause(paused): the system pauses the microphone, for a call or by a switch, or lets it go on.
  // ongap({at, seconds}): the system dropped sound, after `at` seconds of the recording.
  // onlost(): it was unplugged or taken away, or a tab is not shared any more.
  static async open({ source, ...acts }) {
    const { stream, isMissing } = await openStream(source);
    const microphone = await Microphone.of(stream, source.device === SHARED ? "tab" : "microphone", acts, true);
    microphone.isMissing = isMissing;
    return microphone;
  }

  // Of a MediaStream that is there, with sound. acts: what `open` takes besides the source; each may be missing.
  // isOwn: whether the stream ends with this.
  static async of(stream, name, acts, isOwn = false) {
    const microphone = new Microphone();
    microphone._stream = stream;
    microphone._isOwn = isOwn;
    try {
      await microphone._start(name, acts);
    } catch (error) {
      microphone._release();
      throw new Failure("microphone", didNotStart(error));
    }
    return microphone;
  }

  async _start(name, acts) {
    const { keep = null, onlevel = ignore, onpause = ignore, ongap = ignore, onlost = ignore } = acts;
    this.recording = new Recording(name);
    const clock = new Clock();
    this._context = new AudioContext();
    await this._context.audioWorklet.addModule(new URL("./capture-worklet.js", import.meta.url));
    this._node = new AudioWorkletNode(this._context, "capture", { channelCount: 1, channelCountMode: "explicit" });
    let heard;
    const firstSound = new Promise((resolve) => {
      heard = resolve;
    });
    this._ended = new Promise((resolve) => {
      this._node.port.onmessage = ({ data }) => {
        if (!data) return resolve();
        heard(true);
        this._heardAt = performance.now();
        this.recording.append(data.samples);
        onlevel(
          this.recording.seconds,
          data.samples.reduce((loudest, sample) => Math.max(loudest, Math.abs(sample)), 0),
        );
        const gap = clock.take(this.recording.seconds, data.at);
        if (gap) ongap(gap);
      };
    });
    const ports = keep ? [keep()] : [];
    this._node.port.postMessage({ ports }, ports);
    // The node plays silence: some browsers do not run a node that is not connected to the output.
    this._context.createMediaStreamSource(this._stream).connect(this._node).connect(this._context.destination);
    const [track] = this._stream.getAudioTracks();
    track.addEventListener("ended", onlost, { signal: this._released.signal });
    this._context.resume().catch(() => {}); // it may never answer, so wait for the first sound instead
    if (
      !(await Promise.race([
        firstSound,
        new Promise((resolve) => {
          setTimeout(resolve, FIRST_SOUND_MS);
        }),
      ]))
    ) {
      throw new Error("no sound came: the machine's audio system is not running");
    }
    // Browsers differ in which events they send, so look at whether sound comes.
    let paused = false;
    this._watch = setInterval(() => {
      if (track.readyState === "ended") return this._stopping || onlost(); // no event comes if the page itself ended it
      if (this.isPaused) return;
      const pausedNow = track.muted || performance.now() - this._heardAt > PAUSE_MS;
      if (pausedNow) this._context.resume().catch(() => {}); // some systems go on only when asked
      if (pausedNow === paused) return;
      paused = pausedNow;
      onpause(paused);
    }, 500);
  }

  // Takes in what was said until now and `seconds` of silence, then hears nothing until resume().
  pause(seconds) {
    this.isPaused = true;
    this._node.port.postMessage({ pause: seconds });
    this._enable(false);
  }

  resume() {
    this._enable(true);
    this._node.port.postMessage({ resume: true });
    this._heardAt = performance.now();
    this.isPaused = false;
  }

  // A microphone that is not enabled gives silence, and many systems show it as off.
  _enable(on) {
    for (const track of this._stream.getAudioTracks()) track.enabled = on;
  }

  // Takes in what was said until now, then ends the recording. Another call waits for the same end.
  stop() {
    this._stopping ??= this._stop();
    return this._stopping;
  }

  async _stop() {
    this._node.port.postMessage({ stop: true });
    await Promise.race([this._ended, new Promise((resolve) => setTimeout(resolve, STOP_MS))]);
    this.recording.end();
    this._release();
  }

  _release() {
    clearInterval(this._watch);
    this._released.abort();
    if (this._isOwn) for (const track of this._stream.getTracks()) track.stop();
    this._context?.close().catch(() => {}); // it may never answer, and nothing depends on it
  }
}
