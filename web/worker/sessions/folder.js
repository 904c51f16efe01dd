// Where sessions are: in the browser's private storage for this site (OPFS), a folder for each under sessions/. It has
// AUDIO, the 16-bit samples of 16 kHz mono, and LOG (log.js).

export const AUDIO = "audio";
export const LOG = "log";

export const canKeep = () => Boolean(navigator.storage?.getDirectory && navigator.locks);

export async function sessionsFolder() {
  return (await navigator.storage.getDirectory()).getDirectoryHandle("sessions", { create: true });
}

// Held by the tab that writes to the session: the browser gives it back when the tab ends, however it ends.
export const sessionLock = (id) => `voxtab session ${id}`;
