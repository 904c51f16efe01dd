// The Worker that writes one session. What comes is written at once, so that nothing is lost when the tab or the browser
// dies; each second it is also flushed to the disk, for when the machine does. The sound comes straight from the audio
// thread, through a port of its own, so that it is kept however busy the page is.
//
// From the page: first {id, port}, then {note: an entry of the log} and {close: true}. To the page: {failure: an error's
// name} when nothing is written any more, and {closed: true}.

import { toPcm16 } from "../../audio/pcm16.js";
import { lock, openForWriting } from "../store/folder.js";
import { AUDIO, LOG, sessionLock, sessionsFolder } from "./folder.js";
import { line } from "./log.js";

const FLUSH_MS = 1000;
const LOCK_MS = 5000;
const END_MS = 1000;

class Appended {
  constructor(handle) {
    this.handle = handle;
    this.end = handle.getSize();
    this.isFlushed = true;
  }

  append(bytes) {
    const written = this.handle.write(bytes, { at: this.end });
    if (written < bytes.byteLength) throw new DOMException("The disk is full.", "QuotaExceededError");
    this.end += written;
    this.isFlushed = false;
  }

  flush() {
    if (!this.isFlushed) this.handle.flush();
    this.isFlushed = true;
  }
}

let session = null; // {free, audio, log, port}: the files are open, and free() gives the lock back
let hearing = null; // while sound comes: {promise, resolve}, of its end
let timer = null;

async function open({ id, port }) {
  // A tab that was closed or reloaded a moment ago may still hold it.
  const free = await lock(sessionLock(id), { signal: AbortSignal.timeout(LOCK_MS) });
  const folder = await (await sessionsFolder()).getDirectoryHandle(id, { create: true });
  const [audio, log] = [
    new Appended(await openForWriting(folder, AUDIO)),
    new Appended(await openForWriting(folder, LOG)),
  ];
  // A crash may have cut the last sample or line.
  audio.end -= audio.end % 2;
  session = { free, audio, log, port };
  if (log.end) log.append(new TextEncoder().encode("\n"));
  port.onmessage = ({ data }) => guarded(() => (data ? hear(data.samples) : heard())); // null: that was all
}

function hear(samples) {
  hearing ??= Promise.withResolvers();
  session.audio.append(toPcm16(samples));
  flushSoon();
}

function heard() {
  flush();
  hearing?.resolve();
  hearing = null;
}

function note(entry) {
  session.log.append(new TextEncoder().encode(line(entry)));
  flushSoon();
}

function flushSoon() {
  timer ??= setTimeout(() => guarded(flush), FLUSH_MS);
}

function flush() {
  clearTimeout(timer);
  timer = null;
  session.audio.flush();
  session.log.flush();
}

function close() {
  flush();
  release();
}

function release() {
  session.audio.handle.close();
  session.log.handle.close();
  session.port.close();
  session.free();
  session = null;
}

function guarded(act) {
  if (!session) return;
  try {
    act();
  } catch (error) {
    fail(error);
  }
}

// What was written until now stays.
function fail(error) {
  if (session) release();
  postMessage({ failure: (error.cause ?? error).name });
}

let opening = null;
self.onmessage = async ({ data }) => {
  if (!opening) {
    opening = open(data).catch(fail);
    return;
  }
  await opening;
  if (!data.close) return guarded(() => note(data.note));
  // The end of the sound may still be on its way, but a suspended audio thread never sends it.
  if (hearing) await Promise.race([hearing.promise, new Promise((resolve) => setTimeout(resolve, END_MS))]);
  guarded(close);
  postMessage({ closed: true });
};
