// One request for bytes of an address, and its answer, checked: nothing is taken for granted that a server says.

import { Failure } from "../../failure.js";
import { Temporary } from "./patience.js";

const TEMPORARY = [408, 425, 429, 500, 502, 503, 504];

// An address for a message, without the part after the question mark: signed links have keys there.
export const shown = (url) => url.split(/[?#]/)[0];

// The server's ranges cannot be relied on: the file must be requested from its beginning.
export class NoRanges extends Error {}

// Requests the bytes from `from` on, up to `to` (exclusive) unless it is null. Resolves with {body, start, end, bytes,
// tag}: the answer's bytes are those from start to end (null: to the file's end), and the file has `bytes` (null:
// unknown). Throws Failure; Temporary, or what `fetch` throws; or NoRanges, if the answer does not fit the range.
/** @type {(url: string, from: number, to: number | null, options: {ranged: boolean, cache: RequestCache, signal?: AbortSignal}) => Promise<any>} */
export async function request(url, from, to, { ranged, cache, signal }) {
  // With a range, browsers ask the server not to compress. A redirect, to a signed address for example, is followed anew
  // for each request.
  const response = await fetch(url, {
    cache,
    signal,
    referrerPolicy: "no-referrer",
    headers: ranged ? { Range: `bytes=${from}-${to === null ? "" : to - 1}` } : {},
  });
  try {
    return checked(url, response, from, to, ranged);
  } catch (error) {
    response.body?.cancel().catch(() => {});
    throw error;
  }
}

function checked(url, response, from, to, ranged) {
  const { status, headers, body } = response;
  const { host } = new URL(url);
  if (status === 404) throw new Failure("model", `${shown(url)} does not exist (404): check the address.`);
  if ([401, 403, 410].includes(status)) {
    throw new Failure(
      "model",
      `The server refused ${shown(url)} (${status}): the link has expired or needs a login, so get a new one.`,
    );
  }
  // Not every server lets another origin see these headers. Those that are there must fit.
  const [, first, last, total] = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/i.exec(headers.get("Content-Range") ?? "") ?? [];
  const tag = headers.get("ETag") ?? headers.get("Last-Modified");
  const bytes = /^\d+$/.test(total ?? "") ? Number(total) : null;
  if (status === 416) {
    // The file ends here, or is shorter than it was.
    if (bytes === null || bytes === from) return { body: null, start: from, end: from, bytes, tag };
    throw new Failure("model", `${shown(url)} became shorter while it was read: open the model again.`);
  }
  if (TEMPORARY.includes(status)) {
    throw new Temporary(`${host} answered ${status} for ${shown(url)}: try again later.`, secondsOf(headers));
  }
  if (!body || (status !== 200 && status !== 206)) {
    throw new Failure("network", `${host} answered ${status} for ${shown(url)}: try again later.`);
  }
  if (/^text\/html/i.test(headers.get("Content-Type") ?? "")) {
    throw new Failure(
      "model",
      `${shown(url)} is a web page, not a model's file: use the address of the file itself. ` +
        "If this network has a login page, log in first.",
    );
  }
  const encoded = headers.has("Content-Encoding");
  if (status === 200) {
    // The length of what was compressed is not the file's. Another origin does not say whether it was.
    const isUnsure = encoded || (!ranged && response.type === "cors" && /json|text/.test(headers.get("Content-Type")));
    const length = isUnsure ? "" : (headers.get("Content-Length") ?? "");
    return { body, start: 0, end: null, bytes: /^\d+$/.test(length) ? Number(length) : null, tag };
  }
  const [start, end] = [Number(first), Number(last) + 1];
  const fits = start === from && end > start && (bytes === null || end <= bytes) && (to === null || end <= to);
  if (!ranged || encoded || !fits || /^multipart\//i.test(headers.get("Content-Type") ?? "")) throw new NoRanges();
  return { body, start, end, bytes, tag };
}

// What Retry-After says, seconds or a date, or null.
function secondsOf(headers) {
  const said = headers.get("Retry-After")?.trim();
  if (!said) return null;
  if (/^\d+$/.test(said)) return Number(said);
  const left = (Date.parse(said) - Date.now()) / 1000;
  return Number.isNaN(left) ? null : Math.max(0, left);
}

// Whether another origin can be reached, but does not allow this page to read it. `fetch` does not tell.
export async function refusesOthers(url) {
  if (new URL(url).origin === self.location.origin) return false;
  const asked = new AbortController();
  try {
    await fetch(url, { mode: "no-cors", signal: asked.signal });
    return true;
  } catch {
    return false;
  } finally {
    asked.abort();
  }
}
