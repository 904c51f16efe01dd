// The microphone -> a Recording that grows.

import { Recording } from "./file.js";
import { Failure } from "../failure.js";

const FIRST_SOUND_MS = 4000; // an audio system that has not started by then never does
const PAUSE_MS = 1500; // without a block of sound, which comes every 80 ms: the system holds it back

const REFUSED = {
  NotAllowedError:
    "The microphone was refused. Allow it for this page (the icon beside the address, and the " +
    "system's privacy settings), then press Speak again.",
  SecurityError: "This page is not allowed to use the microphone: open it in a tab of its own.",
  NotFoundError: "No microphone was found. Plug one in, then press Speak again, or choose an audio file.",
  NotReadableError:
    "The microphone is in use by another program, or the system holds it back. Close that program, " +
    "then press Speak again.",
};

function didNotStart(error) {
  return (
    `The microphone did not start (${error.message}): look at the system's sound settings, then press Speak ` +
    "again, or choose an audio file."
  );
}

export class Microphone {
  // onlevel(0..1): the loudest sample since it was called last. onlost(): it was unplugged or taken away.
  // onpause(whether): the system pauses it, for a call or by a switch, or lets it go on.
  static async open({ onlevel, onpause, onlost }) {
    if (!navigator.mediaDevices) {
      throw new Failure(
        "microphone",
        "The browser gives microphones to pages from https:// or localhost only: open this page from there.",
      );
    }
    let stream;
    try {
      // Gain control helps, because the model writes nothing for very quiet speech; the two filters take speech away.
      stream = await navigator.mediaDevices.getUserMedia({
        audio: { channelCount: 1, autoGainControl: true, echoCancellation: false, noiseSuppression: false },
      });
    } catch (error) {
      throw new Failure("microphone", REFUSED[error.name] ?? didNotStart(error));
    }
    const microphone = new Microphone();
    try {
      await microphone._start(stream, onlevel, onpause, onlost);
    } catch (error) {
      microphone._release();
      throw new Failure("microphone", didNotStart(error));
    }
    return microphone;
  }

  async _start(stream, onlevel, onpause, onlost) {
    this._stream = stream;
    this.recording = new Recording("microphone");
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
        this.recording.append(data);
        onlevel(data.reduce((loudest, sample) => Math.max(loudest, Math.abs(sample)), 0));
      };
    });
    // It plays silence: browsers differ in whether they run a node that leads nowhere.
    this._context.createMediaStreamSource(stream).connect(this._node).connect(this._context.destination);
    const [track] = stream.getAudioTracks();
    track.onended = onlost;
    this._context.resume().catch(() => {}); // its answer may never come, so the first sound is waited for
    if (
      !(await Promise.race([
        firstSound,
        new Promise((resolve) => {
          setTimeout(resolve, FIRST_SOUND_MS);
        }),
      ]))
    ) {
      throw new Error("no sound came: the machine's audio system does not run");
    }
    // Browsers differ in which events they give, and what counts is whether sound comes.
    let paused = false;
    this._watch = setInterval(() => {
      const now = track.muted || performance.now() - this._heardAt > PAUSE_MS;
      if (now) this._context.resume().catch(() => {}); // some go on only when they are asked
      if (now !== paused) onpause((paused = now));
    }, 500);
  }

  // Takes in what was said until now, then ends the recording. Who asks again waits for the same end.
  stop() {
    return (this._stopping ??= this._stop());
  }

  async _stop() {
    this._node.port.postMessage("stop");
    // A suspended context does not answer.
    await Promise.race([this._ended, new Promise((resolve) => setTimeout(resolve, 500))]);
    this.recording.end();
    this._release();
  }

  _release() {
    clearInterval(this._watch);
    for (const track of this._stream.getTracks()) {
      track.onended = null;
      track.stop();
    }
    this._context?.close().catch(() => {}); // its answer may never come, and nothing depends on it
  }
}
