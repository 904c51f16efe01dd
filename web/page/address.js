// Audio at an address.

import { openAudio } from "../audio/file.js";
import { Failure } from "../failure.js";
import { blob } from "../worker/weights/elsewhere.js";

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
    throw new Failure(
      "network",
      `${name} could not be fetched from ${url.host}: the network failed, or that site does not allow other pages ` +
        "to read it. Download it there, then choose the file here.",
    );
  }
  const { status, type, bytes } = answer;
  if (!bytes) throw new Failure("network", `${url.host} has no ${name} (status ${status}): check the address.`);
  if (/^(text\/html|application\/xhtml)/.test(type))
    throw new Failure("network", `${url.host} gives a web page, not audio: give the address of the audio itself.`);
  return openAudio(bytes, name); // the browser keeps a long one on the disk
}
