// The microphone: switched on by the Speak button, off by the Stop button.

import { Microphone } from "../audio/microphone.js";
import { ASKING, allows, canSpeak, fail, isListening, setMicrophone, state } from "./state.js";
import * as view from "./view.js";

// transcribe: what takes the recording, which grows while the user speaks.
export async function speak(transcribe) {
  if (!canSpeak()) return;
  setMicrophone(ASKING);
  view.error(null);
  view.status("Waiting for the microphone: please allow it in the browser…");
  let microphone;
  try {
    microphone = await Microphone.open({
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
      onlost: () => {
        view.error("The microphone was disconnected. What you said until then is transcribed.");
        stopListening();
      },
    });
  } catch (error) {
    setMicrophone(null);
    return fail(error.message, null, "The microphone is off.");
  }
  setMicrophone(microphone);
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
