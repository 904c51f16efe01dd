// Live sound: switched on by the Speak button, off by the Stop button.

import { Loudness } from "../audio/loudness.js";
import { Microphone } from "../audio/microphone.js";
import { SHARED } from "../audio/sources.js";
import { remove } from "../worker/sessions/sessions.js";
import { keepAwake } from "./awake.js";
import { newSession } from "./sessions.js";
import { nameOfSource, showSources, source } from "./sources.js";
import { ASKING, allows, canSpeak, fail, isListening, setMicrophone, state } from "./state.js";
import * as view from "./view.js";

const HINTS = {
  silent:
    "The microphone gives only silence. It may be muted, by a switch on it or in the system's settings; or choose another " +
    "one below.",
  quiet:
    "Nothing louder than a whisper has come yet. If you are speaking, come closer, or raise the microphone's level in the " +
    "system's sound settings: the model writes nothing for very quiet speech.",
  clipped: "The sound is too loud, and distorted: move away from the microphone, or lower its level in the system.",
};
const SHARED_HINTS = { ...HINTS, silent: "What you share is silent until now.", quiet: null };

// transcribe: what takes the recording, which grows while the user speaks.
export async function speak(transcribe) {
  if (!canSpeak()) return;
  setMicrophone(ASKING);
  view.error(null);
  const from = source();
  const isShared = from.device === SHARED;
  view.status(
    isShared
      ? "Choose in the browser's question what to listen to, with its sound…"
      : "Waiting for the microphone: please allow it in the browser…",
  );
  const session = newSession(isShared ? "tab" : "microphone");
  const loudness = new Loudness();
  let microphone;
  try {
    microphone = await Microphone.open({
      source: from,
      keep: () => session.open(),
      onlevel: (seconds, peak) => {
        view.level(seconds, peak);
        const wrong = loudness.take(seconds, peak);
        view.hint(wrong && (isShared ? SHARED_HINTS : HINTS)[wrong]);
        state.job?.showPace();
      },
      onpause: (paused) =>
        view.error(
          paused
            ? "The system has paused the microphone, perhaps for a call. Your recording so far is kept, and " +
                "recording continues when the system allows it."
            : null,
        ),
      ongap: (gap) => {
        session.note({ gap });
        view.error(
          `Your system gave no sound for ${view.seconds(gap.seconds)} at ${view.clock(gap.at)} of the recording: what was ` +
            "said then is missing. This happens when the machine is too busy, asleep, or in a call.",
        );
      },
      onlost: () => {
        view.error(
          isShared
            ? "The tab is not shared any more. What was heard until then is transcribed."
            : "The microphone was disconnected. What you said until then is transcribed.",
        );
        stopListening();
      },
    });
  } catch (error) {
    setMicrophone(null);
    fail(error.message, null, isShared ? "Nothing is being heard." : "The microphone is off.");
    await session.close();
    return remove(session.id).catch(() => {}); // nothing was said
  }
  setMicrophone(microphone);
  keepAwake(true);
  microphone.recording.session = session;
  view.level(0);
  const missing = microphone.isMissing && `${nameOfSource()} is not there: the system's microphone is used.`;
  showSources(); // now with their names
  // A file may have been dropped while the browser asked.
  if (allows("takeAudio")) transcribe(microphone.recording);
  else await stopListening();
  if (missing) view.error(missing);
  if (isShared && state.phase === "transcribing") view.status("Listening to what you share.");
}

export async function stopListening() {
  if (!isListening()) return;
  const { microphone } = state;
  await microphone.stop();
  if (state.microphone !== microphone) return; // another call has waited for the same stop
  keepAwake(false);
  view.level(null);
  view.hint(null);
  setMicrophone(null);
}
