// Where live sound comes from: a microphone, or what a tab or the system plays.

import { Failure } from "../failure.js";

export const SHARED = "shared"; // in a device's place: the sound of a tab, or of the system

const UNSAFE =
  "Browsers let only pages from https:// or localhost use the microphone: open this page from such an address.";
const REFUSED = {
  NotAllowedError:
    "The browser or the system does not allow the microphone. Allow it for this page (by the icon beside the " +
    "address, and in the system's privacy settings), then press Speak again.",
  SecurityError: "This page is not allowed to use the microphone: open it in its own tab.",
  NotFoundError: "No microphone was found. Plug one in, then press Speak again, or choose an audio file.",
  NotReadableError:
    "The microphone is in use by another program, or the system blocks it. Close that program, then press Speak " +
    "again.",
};
const NOTHING_SHARED = "Nothing was shared. Press Listen again, and choose a tab or a screen with its sound.";
const WITHOUT_SOUND =
  "What you shared has no sound. Press Listen again, choose a tab, and switch on its sound in the browser's question. A " +
  "window never has sound, and a whole screen has it only on some systems.";

export function didNotStart(error) {
  return (
    `The microphone did not start (${error.message}): check the system's sound settings, then press Speak again, or ` +
    "choose an audio file."
  );
}

// Whether the browser can give a tab's sound. Firefox and Safari share pictures only; this setting comes with the sound.
export function canShare() {
  const devices = navigator.mediaDevices;
  return Boolean(
    devices?.getDisplayMedia && /** @type {any} */ (devices.getSupportedConstraints()).suppressLocalAudioPlayback,
  );
}

// The microphones: [{id, label}]. Browsers tell their names only to a page that was allowed to use one.
export async function microphones() {
  const found = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return found
    .filter(({ kind, deviceId, label }) => kind === "audioinput" && label && !["default", ""].includes(deviceId))
    .map(({ deviceId, label }) => ({ id: deviceId, label }));
}

// device: SHARED, a microphone's id, or "" for the system's. isNoisy: the room is. Resolves with {stream, isMissing}:
// isMissing, if the system's microphone stands in for one that is not there any more.
export async function openStream({ device, isNoisy }) {
  if (!navigator.mediaDevices) throw new Failure("microphone", UNSAFE);
  if (device === SHARED) return { stream: await share(), isMissing: false };
  // All that browsers do to the sound is off: it eats quiet first syllables, and raises noise to the level of speech.
  const audio = { channelCount: 1, autoGainControl: false, echoCancellation: false, noiseSuppression: isNoisy };
  try {
    if (device) {
      try {
        const exactly = { ...audio, deviceId: { exact: device } };
        return { stream: await navigator.mediaDevices.getUserMedia({ audio: exactly }), isMissing: false };
      } catch (error) {
        if (!["OverconstrainedError", "NotFoundError"].includes(error.name)) throw error;
      }
    }
    return { stream: await navigator.mediaDevices.getUserMedia({ audio }), isMissing: Boolean(device) };
  } catch (error) {
    throw new Failure("microphone", REFUSED[error.name] ?? didNotStart(error));
  }
}

async function share() {
  const audio = { autoGainControl: false, echoCancellation: false, noiseSuppression: false };
  /** @type {any} */
  const wanted = {
    audio: { ...audio, suppressLocalAudioPlayback: false }, // the user goes on hearing it
    video: { frameRate: 1 }, // browsers share no sound alone; nobody looks at the picture
    systemAudio: "include",
    selfBrowserSurface: "exclude",
  };
  let stream;
  try {
    stream = await navigator.mediaDevices.getDisplayMedia(wanted);
  } catch (error) {
    throw new Failure("microphone", error.name === "NotAllowedError" ? NOTHING_SHARED : didNotStart(error));
  }
  if (stream.getAudioTracks().length) return stream;
  for (const track of stream.getTracks()) track.stop();
  throw new Failure("microphone", WITHOUT_SOUND);
}
