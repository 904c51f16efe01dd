// What a link to the page asks for: ?model=URL&tokenizer=URL&audio=URL&delay=480&left_silence=32&guard=0&alternatives=1
// &files_2400=1&noisy=1&autostart=1, ?bench=1, ?variants=... Addresses are relative to the page; ?model=self-test is the page's
// own.

import { fetchAudio, lastName } from "./address.js";
import { bench } from "./bench.js";
import { waitToBeAsked } from "./demo.js";
import { lastOpened } from "./kept.js";
import { isHere } from "./offline.js";
import { DEMO, openModel, SELF_TEST } from "./opening.js";
import { fail, state } from "./state.js";
import { audioFailed, transcribe } from "./transcribing.js";
import * as view from "./view.js";
import { list, wording } from "./words.js";

const OWN = "self-test";
const NAMES = { model: "link.model", tokenizer: "link.tokenizer", audio: "link.audio" };

export async function followLink(query) {
  let wrong = view.chooseSettings(query);
  const address = (name) => {
    const value = query.get(name);
    try {
      return value && value !== OWN ? new URL(value, document.baseURI) : null;
    } catch {
      wrong = wording("link.bad_address", { name: wording(NAMES[name]), address: value });
      return null;
    }
  };
  const asked = await agreed(Object.fromEntries(Object.keys(NAMES).map((name) => [name, address(name)])));
  if (wrong) view.error(wrong);
  const asksForText = ["model", "audio", "bench", "variants"].some((name) => query.has(name));
  const last = asksForText ? SELF_TEST : await lastOpened();
  if (!last && !(await isHere())) return waitToBeAsked();
  const request = {
    ...(asked.model ? modelAt(asked.model, asked.tokenizer) : (last ?? DEMO)),
    variants: query.get("variants"),
  };
  const opening = { quiet: Boolean(wrong) };
  if (query.get("bench") === "1") {
    if (!(await openModel(request, opening))) return;
    try {
      return await bench(asked.audio && (await fetchAudio(asked.audio)));
    } catch (error) {
      return audioFailed(error);
    }
  }
  const autostart = query.get("autostart") === "1";
  const start = autostart && !wrong; // do not autostart with replaced settings
  const offered = asked.audio ? offerAudio(asked.audio, start) : null;
  await openModel(request, opening);
  // A program that drives the page by a link waits for the state `done` or `error`.
  const failure = await offered;
  if (failure && start) audioFailed(failure, () => offerAudio(asked.audio, start));
  if (autostart && wrong) fail(wrong, null, wording("link.bad_settings"));
}

// The request to open the model at an address; tokenizer: the address of its tekken.json, or null if it is next to it.
export function modelAt(url, tokenizer) {
  return {
    label: lastName(url) || url.host,
    model: { url: url.href },
    tokenizer: tokenizer && { url: tokenizer.href },
  };
}

// The page's address with the settings, and with the open model's address if it came from one; never with audio.
function linkToShare() {
  const { model, tokenizer } = state.model?.request ?? {};
  const query = new URLSearchParams(view.forLink());
  if (model?.url) query.set("model", model.url);
  if (model?.url && tokenizer?.url) query.set("tokenizer", tokenizer.url);
  const page = new URL(location.pathname, location.href);
  page.search = query.toString();
  return page.href;
}

export async function copyLink() {
  const link = linkToShare();
  let said = wording("link.copied", { link });
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    said = wording("link.copy_here", { link }); // the page is in a frame that may not copy
  }
  document.getElementById("link-copied").textContent = said;
}

// The addresses {model, tokenizer, audio}, each a URL or null, that the user agrees to. The user has not typed them, so
// the page asks before it contacts another site.
async function agreed(addresses) {
  const foreign = Object.entries(addresses).filter(([, url]) => url && url.origin !== location.origin);
  if (!foreign.length) return addresses;
  const hosts = list([...new Set(foreign.map(([, url]) => url.host))]);
  view.state("loading", wording("link.waiting"));
  view.model(wording("model.none_yet"));
  const yes = await view.ask(
    wording("link.question"),
    foreign.map(([name, { host, href }]) => wording("link.file", { name: wording(NAMES[name]), host, address: href })),
    wording("link.fetch", { hosts }),
    wording("link.decline"),
  );
  if (yes) return addresses;
  const names = foreign.map(([name]) => name);
  return {
    // A model needs its own tokenizer.
    model: names.some((name) => name !== "audio") ? null : addresses.model,
    tokenizer: addresses.tokenizer,
    audio: names.includes("audio") ? null : addresses.audio,
  };
}

// Resolves with what went wrong, or null.
async function offerAudio(url, start) {
  try {
    const audio = await fetchAudio(url);
    if (start) transcribe(audio);
    else view.offer(audio.name, () => transcribe(audio));
  } catch (error) {
    audioFailed(error, () => {
      view.error(null);
      offerAudio(url, start);
    });
    return error;
  }
  return null;
}
