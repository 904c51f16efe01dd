// Live sound: switched on by the Speak button, off by the Stop button.

import { Loudness } from "../audio/loudness.js";
import { Microphone } from "../audio/microphone.js";
import { SHARED } from "../audio/sources.js";
import { RIGHT_SILENCE_EXTRA_TOKENS, SAMPLE_RATE, SAMPLES_PER_TOKEN } from "../config.js";
import { remove } from "../worker/sessions/sessions.js";
import { keepAwake } from "./awake.js";
import { newSession } from "./sessions.js";
import { nameOfSource, showSources, source } from "./sources.js";
import { ASKING, allows, canSpeak, fail, isListening, setMicrophone, state } from "./state.js";
import * as view from "./view.js";
import { clock, reason, seconds, wording } from "./words.js";

const PAUSE_MS = 60000; // then a recording that was paused ends, and the microphone is free
const LAST_WORDS = (RIGHT_SILENCE_EXTRA_TOKENS * SAMPLES_PER_TOKEN) / SAMPLE_RATE; // seconds of silence besides the delay
const HINTS = { silent: "hint.silent", quiet: "hint.quiet", clipped: "hint.clipped" };
const SHARED_HINTS = { silent: "hint.shared_silent", clipped: "hint.clipped" };

let pauseEnds = null; // a timer

// transcribe: what takes the recording, which grows while the user speaks.
export async function speak(transcribe) {
  if (!canSpeak()) return;
  setMicrophone(ASKING);
  view.error(null);
  view.declined(); // a question above the text would be in the way, and its button above Stop
  const from = source();
  const isShared = from.device === SHARED;
  view.status(isShared ? wording("listening.choose") : wording("listening.allow"));
  const session = newSession(isShared ? "tab" : "microphone");
  const loudness = new Loudness();
  let [gaps, lacking] = [0, 0]; // how often the system gave no sound, and how many seconds in all
  let microphone;
  try {
    microphone = await Microphone.open({
      source: from,
      keep: () => session.open(),
      onlevel: (length, peak) => {
        view.level(length, peak);
        if (microphone?.isPaused) return; // this silence is the page's own
        const hint = (isShared ? SHARED_HINTS : HINTS)[loudness.take(length, peak)];
        view.hint(hint ? wording(hint) : null);
        state.job?.showPace();
      },
      onpause: (paused) => view.error(paused ? wording("listening.paused") : null),
      ongap: (gap) => {
        session.note({ gap });
        gaps += 1;
        lacking += gap.seconds;
        view.error(wording("listening.gap", { count: gaps, length: seconds(lacking), at: clock(gap.at) }));
      },
      onlost: () => {
        view.error(isShared ? wording("listening.not_shared") : wording("listening.unplugged"));
        stopListening();
      },
    });
  } catch (error) {
    setMicrophone(null);
    fail(reason(error), null, isShared ? wording("listening.nothing") : wording("listening.off"));
    await session.close();
    return remove(session.id).catch(() => {}); // nothing was said
  }
  setMicrophone(microphone);
  view.fold();
  keepAwake(true);
  microphone.recording.session = session;
  view.level(0);
  const missing = microphone.isMissing && wording("listening.other", { name: nameOfSource() });
  showSources(); // now with their names
  // A file may have been dropped while the browser asked.
  if (allows("takeAudio")) transcribe(microphone.recording);
  else await stopListening();
  if (missing) view.error(missing);
  if (isShared && state.phase === "transcribing") view.status(wording("listening.shared"));
}

// Hears nothing until resumeListening(); the text of what was said comes meanwhile. sentence: for the user.
export function pauseListening(sentence) {
  const { microphone, job } = state;
  if (!isListening() || microphone.isPaused) return;
  microphone.pause(job.delay + LAST_WORDS);
  keepAwake(false);
  view.hint(null);
  view.paused(true);
  view.status(sentence);
  pauseEnds = setTimeout(stopListening, PAUSE_MS);
}

export const isPaused = () => isListening() && state.microphone.isPaused;

export function resumeListening() {
  clearTimeout(pauseEnds);
  state.microphone.resume();
  keepAwake(true);
  view.paused(false);
  view.status(wording("status.listening"));
}

export async function stopListening() {
  if (!isListening()) return;
  clearTimeout(pauseEnds);
  const { microphone } = state;
  await microphone.stop();
  if (state.microphone !== microphone) return; // another call has waited for the same stop
  keepAwake(false);
  view.level(null);
  view.paused(false);
  view.hint(null);
  setMicrophone(null);
  if (state.phase === "transcribing" && state.job?.recording) view.status(wording("status.last_words"));
}
