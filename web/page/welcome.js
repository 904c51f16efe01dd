// The first minute: what this machine can do, and the one button that gets the model.

import { addressOf, known, requestOf } from "./catalogue.js";
import { engine } from "./engine.js";
import { DEMO, openModel } from "./opening.js";
import { state } from "./state.js";
import { button } from "./view.js";

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);

const LIVE_MS = 80; // that a live step may take
const MOST_MEMORY_TOLD = 8; // GB: browsers say no more than that

let needed = ""; // a sentence
let inSoftware = false; // the browser computes without a GPU
let speed = null; // a promise of what was measured
let asked = false; // the user wants it to be measured

// kept: the request to open a model that is kept on this machine, or null.
export async function showCard(kept) {
  const [get, source] = [element("get-model"), element("card-source")];
  const offer = (label, request, from) => {
    get.textContent = label;
    get.onclick = () => openModel(request);
    source.textContent = from;
  };
  if (kept) offer(`Open ${kept.label}`, kept, "It is on this machine.");
  try {
    const [first, ...others] = await known;
    element("card-facts").textContent = `13 languages. ${first.gb.toFixed(1)} GB once, then offline.`;
    if (!element("known-models").children.length) element("known-models").append(...others.map(knownModel));
    if (kept) return;
    const { host } = new URL(addressOf(first));
    offer(
      `Get the model (${first.gb.toFixed(1)} GB)`,
      requestOf(first),
      `From ${host}, licence ${first.licence}. Nothing about you is sent there.`,
    );
  } catch (error) {
    if (!kept) source.textContent = error.message;
  }
}

// An entry of “Other models”.
function knownModel(model) {
  const item = document.createElement("li");
  const facts = document.createElement("span");
  facts.className = "quiet numbers";
  facts.textContent = ` ${model.gb.toFixed(2)} GB, ${model.licence}, for a GPU with ${Math.ceil(model.gpu_full_gb)} GB`;
  item.append(
    button(`Get ${model.name}`, () => openModel(requestOf(model))),
    facts,
  );
  return item;
}

// machine: what checkMachine found.
/** @param {{stop?: string, warning?: string, gpu?: string, software?: boolean}} machine */
export async function showMachine({ stop, warning, gpu, software }) {
  inSoftware = software;
  const [{ gb, gpu_full_gb }] = await known.catch(() => [{ gb: 0, gpu_full_gb: 0 }]); // showCard says it
  const needs = Math.ceil(gpu_full_gb);
  needed = `The model needs a GPU with ${needs} GB of memory.`;
  const { quota, usage } = (await navigator.storage?.estimate?.()) ?? {};
  const room = quota === undefined ? null : (quota - usage) / 1e9;
  const memory = /** @type {any} */ (navigator).deviceMemory;
  let verdict = ["This machine has what it needs.", ""];
  if (stop) verdict = ["This browser cannot run it as it is.", `${stop} ${needed}`];
  else if (software) {
    verdict = [
      "This machine is too slow for it.",
      `The browser computes without a GPU. Turn on hardware acceleration in its settings, or use another machine. ${needed}`,
    ];
  } else if (warning) verdict = ["This machine can run it, slowly.", warning];
  else if (room !== null && room < gb) {
    verdict = [
      "This machine can run it, but not keep it.",
      `The browser has room for ${room.toFixed(1)} GB only: make room on the disk, or download it at each visit.`,
    ];
  }
  say(...verdict);
  element("get-model").disabled = Boolean(stop);
  element("get-model").classList.toggle("strong", !stop && !software);
  element("see").classList.toggle("strong", Boolean(stop || software));
  const facts = [
    ["GPU", stop ? "none that the browser can use" : software ? `none; ${gpu} stands in for it` : gpu],
    ["Memory", memory && `${memory}${memory >= MOST_MEMORY_TOLD ? " GB or more" : " GB"}; the GPU needs ${needs} GB`],
    ["Disk", room !== null && `room for ${room < 10 ? room.toFixed(1) : Math.floor(room)} GB or more`],
  ];
  for (const [name, value] of facts) if (value) tell(name, value);
  if (!stop && !speed) offerMeasuring();
}

function offerMeasuring() {
  const measure = button("Measure it", () => {
    asked = true;
    tell("Speed", "starting the engine…");
    if (state.phase === "closed") openModel(DEMO).then((opened) => opened || offerMeasuring());
    else measureSpeed();
  });
  measure.dataset.testid = "measure";
  tell("Speed", measure);
}

// Measures what the 4B model would reach here: a few seconds of the GPU's work, while the self-test model is open and not
// in use. In software it takes longer, so the user is asked.
export async function measureSpeed() {
  if (state.phase !== "demo" || speed || (inSoftware && !asked)) return;
  asked = false;
  tell("Speed", "measuring…");
  try {
    speed = engine.call("predict");
    const { rtf, live_step_ms } = await speed;
    const factor = 1 / rtf;
    tell(
      "Speed",
      factor >= 1
        ? `about ${rounded(factor)} times faster than you speak`
        : `about ${rounded(rtf)} s for each second of speech`,
    );
    if (inSoftware) return; // the verdict says already what would help
    if (factor < 1) say("This machine is too slow for it.", `Its text would fall behind. ${needed}`);
    else if (live_step_ms > LIVE_MS) {
      say("This machine can run it, but not live.", "Recordings work. While you speak, the text would fall behind.");
    }
  } catch (error) {
    speed = null;
    if (error.kind === "aborted") offerMeasuring();
    else tell("Speed", `could not be measured: ${error.message}`);
  }
}

function rounded(factor) {
  return factor < 10 ? Number(factor.toFixed(1)) : Math.round(factor);
}

function say(sentence, more) {
  element("verdict-title").firstElementChild.textContent = sentence;
  element("verdict-text").textContent = more;
  element("verdict-text").hidden = !more;
}

// A line of the list. value: text or an element.
function tell(name, value) {
  const known = [...element("machine").children].find(({ textContent }) => textContent === name);
  const [term, description] = known
    ? [known, known.nextElementSibling]
    : [document.createElement("dt"), document.createElement("dd")];
  term.textContent = name;
  description.replaceChildren(value);
  if (!known) element("machine").append(term, description);
}
