// Audio at an address.

import { openAudio } from "../audio/file.js";
import { blob } from "../worker/weights/elsewhere.js";
import { failureOf } from "./words.js";

export function lastName(url) {
  const name = url.pathname.split("/").pop();
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // with a stray %
  }
}

// Resolves with what openAudio() does. Throws a Failure, of kind 'aborted' if `signal` is.
export async function fetchAudio(url, signal = null) {
  const name = lastName(url) || "audio";
  const answer = await blob(url.href, signal);
  if (!answer) {
    throw failureOf("network", "address.unreachable", { name, host: url.host });
  }
  const { status, type, bytes } = answer;
  if (!bytes) throw failureOf("network", "address.missing", { host: url.host, name, status });
  if (/^(text\/html|application\/xhtml)/.test(type)) throw failureOf("network", "address.web_page", { host: url.host });
  return openAudio(bytes, name); // the browser keeps a long one on the disk
}
