// The microphone: switched on by the Speak button, off by the Stop button.

import { Microphone } from "../audio/microphone.js";
import { remove } from "../worker/sessions/sessions.js";
import { newSession } from "./sessions.js";
import { ASKING, allows, canSpeak, fail, isListening, setMicrophone, state } from "./state.js";
import * as view from "./view.js";

// transcribe: what takes the recording, which grows while the user speaks.
export async function speak(transcribe) {
  if (!canSpeak()) return;
  setMicrophone(ASKING);
  view.error(null);
  view.status("Waiting for the microphone: please allow it in the browser…");
  const session = newSession("microphone");
  let microphone;
  try {
    microphone = await Microphone.open({
      keep: () => session.open(),
      onlevel: (seconds, peak) => {
        view.level(seconds, peak);
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
        view.error("The microphone was disconnected. What you said until then is transcribed.");
        stopListening();
      },
    });
  } catch (error) {
    setMicrophone(null);
    fail(error.message, null, "The microphone is off.");
    await session.close();
    return remove(session.id).catch(() => {}); // nothing was said
  }
  setMicrophone(microphone);
  microphone.recording.session = session;
  view.level(0);
  // A file may have been dropped while the browser asked.
  if (allows("takeAudio")) transcribe(microphone.recording);
  else await stopListening();
}

export async function stopListening() {
  if (!isListening()) return;
  const { microphone } = state;
  await microphone.stop();
  if (state.microphone !== microphone) return; // another call has waited for the same stop
  view.level(null);
  setMicrophone(null);
}
