// Single requests to addresses that the user agreed to. The reader's Worker makes them: it alone may leave this origin.

import { Failure } from "../../failure.js";
import { Sibling } from "../siblings.js";
import { isOnHub, isRepository } from "./hub.js";

// Resolves with {url, bytes, sha256}: see hub.js.
export async function pinned(url) {
  return isOnHub(url) ? ask({ verb: "pinned", url }) : { url, bytes: null, sha256: null };
}

// Resolves with {base, names} of a folder of a hub, or null: see hub.js.
export async function listing(url) {
  return isRepository(url) || isOnHub(url) ? ask({ verb: "listing", url }) : null;
}

// Resolves with the text of a small file, of at most `most` bytes. tell: called with a sentence for the user while it
// waits, and then with null.
export function text(url, most, tell) {
  return ask({ verb: "text", url, most }, tell);
}

// Resolves with {status, type, bytes}: the whole file as a Blob, or null if the status is an error; null if the address
// cannot be reached. Throws a Failure of kind 'aborted' if `signal` is.
export function blob(url, signal = null) {
  return ask({ verb: "blob", url }, undefined, signal);
}

function ask(request, tell = (_) => {}, signal = null) {
  const reader = new Sibling(new URL("./reader.js", import.meta.url));
  const { promise, resolve, reject } = Promise.withResolvers();
  reader.onmessage = ({ data }) => {
    if ("tell" in data) tell(data.tell);
    else if (data.failure) reject(new Failure(data.failure.kind, data.failure.message));
    else resolve(data.found);
  };
  reader.onerror = ({ message }) => {
    reject(
      new Failure("network", `Nothing could be fetched (${message ?? "reader.js did not load"}): reload the page.`),
    );
  };
  const stop = () => reject(new Failure("aborted", "Stopped."));
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  reader.postMessage(request);
  return promise.finally(() => reader.terminate());
}
