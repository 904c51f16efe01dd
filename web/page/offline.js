// What the service worker offers the user: the page without a network, and its new versions.

import { ask, controlled } from "./control.js";
import { engine } from "./engine.js";
import { notice } from "./notices.js";
import { allows } from "./state.js";
import * as view from "./view.js";
import { size, wording } from "./words.js";

const EARLY = ["page", "program"]; // brought at once; Python's memory and library come with the first model
const ALL = [...EARLY, "library"];

let site = null; // a promise of site.json

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);

// Brings what the engine needs first, and tells what comes and how much. Calls `start` at once if all of it is here, so
// that a first visit fetches no more than that before the user asks for a model.
export async function prepare(start) {
  const bytes = await sizes();
  if (!bytes) return start();
  for (const place of document.querySelectorAll("[data-bytes]"))
    place.textContent = size(bytes[/** @type {HTMLElement} */ (place).dataset.bytes]);
  if (!controlled.by) {
    return tell(wording("engine.comes_later", { size: size(bytes.program + bytes.library) }));
  }
  offerVersion();
  let isWhole = false;
  const tellWhole = () => {
    isWhole = true;
    tell(wording("engine.kept"));
  };
  engine.on("progress", ({ stage, done }) => {
    if (stage === "python" && done && !isWhole) ask("bring", { groups: ALL }).then(tellWhole, () => {});
  });
  if ((await ask("missing", { groups: ALL })) === 0) {
    tellWhole();
    return start();
  }
  const [now, later] = [size(bytes.program), size(bytes.library)];
  tell(wording("engine.comes", { now, later }));
  const here = () => isWhole || tell(wording("engine.here", { now, later })); // Python may have been quicker
  await ask("bring", { groups: EARLY }).then(here, () => {}); // what is missing comes when it is needed
}

// Whether the engine and the self-test model are in this browser, or on this machine, as the checkout's web/ is.
export async function isHere() {
  if (!(await sizes())) return true;
  return Boolean(controlled.by) && (await ask("missing", { groups: [...ALL, "self_test"] })) === 0;
}

// Resolves with the bytes of each group of the service worker's, or with null if this is no built site: the checkout's web/.
function sizes() {
  site ??= fetch("site.json").then((answer) => answer.json());
  return site.then(
    ({ bytes }) => bytes ?? null,
    () => null,
  );
}

function tell(sentence) {
  element("coming").textContent = sentence;
}

// A new version waits until the user wants it, or until no tab has the old one any more.
function offerVersion() {
  const registration = controlled.by;
  const offer = () => {
    notice("new-version", registration.waiting ? wording("page.new_version") : null);
  };
  const watch = () => registration.installing?.addEventListener("statechange", offer);
  registration.addEventListener("updatefound", watch);
  watch(); // it may have been found already
  element("use-new-version").addEventListener("click", async () => {
    if (!allows("openModel")) return; // something runs
    if (!registration.waiting) return location.reload();
    navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
    if (await ask("take_over", {}, registration.waiting)) return;
    view.error(wording("page.other_tab"));
  });
  offer();
}
