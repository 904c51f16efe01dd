// The first minute: what this machine can do, and the one button that gets the model.

import { addressOf, known, requestOf, spoken } from "./catalogue.js";
import { engine } from "./engine.js";
import { chooseModel, DEMO, openModel } from "./opening.js";
import { onPhase, state } from "./state.js";
import { button, replace } from "./view.js";
import { gigabytes, languageNames, number, put, reason, seconds, wording } from "./words.js";

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);

const LIVE_MS = 80; // that a live step may take
const MOST_MEMORY_TOLD = 8; // GB: browsers say no more than that

let needed = ""; // a sentence
let inSoftware = false; // the browser computes without a GPU
let speed = null; // a promise of what was measured
let asked = false; // the user wants it to be measured
let isUnsure = false; // the verdict: what is measured decides
let shown = Promise.resolve(); // once the machine is shown

// kept: the request to open a model that is kept on this machine, or null.
export async function showCard(kept) {
  const [get, source] = [element("get-model"), element("card-source")];
  const offer = (label, request, from) => {
    get.textContent = label;
    get.onclick = () => openModel(request);
    source.textContent = from;
  };
  if (kept) offer(wording("welcome.open", { name: kept.label }), kept, wording("welcome.here"));
  try {
    const models = await known;
    const [first] = models;
    const languages = await spoken;
    element("card-facts").textContent = wording("welcome.facts", {
      count: languages.length,
      size: gigabytes(first.gb, 1),
    });
    element("card-languages").textContent = wording("welcome.languages", { languages: languageNames(languages) });
    if (!element("known-models").children.length) element("known-models").append(...models.map(knownModel));
    if (kept) return;
    const { host } = new URL(addressOf(first));
    offer(
      wording("welcome.get", { size: gigabytes(first.gb, 1) }),
      requestOf(first),
      wording("welcome.source", { host, licence: first.licence }),
    );
  } catch (error) {
    if (!kept) put(source, reason(error));
  }
}

// What the user can begin with, before a model for speech is open: a sentence.
export const firstStep = () => wording(inSoftware ? "status.no_gpu" : "status.get_model");

// An entry of “Other models”.
function knownModel(model) {
  const item = document.createElement("li");
  const facts = document.createElement("span");
  facts.className = "quiet numbers";
  facts.textContent = wording("models.facts", {
    size: gigabytes(model.gb, 2),
    licence: model.licence,
    memory: gigabytes(Math.ceil(model.gpu_full_gb), 0),
  });
  const request = requestOf(model);
  const get = button(wording("models.get", { name: model.name }), () => chooseModel(request));
  onPhase(() => {
    get.disabled = Boolean(state.model?.name) && String(state.model.request.model?.url) === request.model.url;
  });
  item.append(get, " ", facts);
  return item;
}

/** @typedef {{stop?: string, warning?: string, gpu?: string, software?: boolean}} Machine what checkMachine found */

/** @param {Machine} machine */
export function showMachine(machine) {
  shown = show(machine);
}

/** @param {Machine} machine */
async function show({ stop, warning, gpu, software }) {
  inSoftware = software;
  const [{ gb, gpu_full_gb }] = await known.catch(() => [{ gb: 0, gpu_full_gb: 0 }]); // showCard says it
  const needs = gigabytes(Math.ceil(gpu_full_gb), 0);
  needed = wording("machine.needed", { size: needs });
  const { quota, usage } = (await navigator.storage?.estimate?.().catch(() => null)) ?? {};
  const room = quota === undefined ? null : (quota - usage) / 1e9;
  const memory = /** @type {any} */ (navigator).deviceMemory;
  const good = [wording("verdict.good"), wording("verdict.measure", { needed })];
  let verdict = good;
  // Why it is impossible, the page says above.
  if (stop) verdict = [wording("verdict.impossible"), needed];
  else if (software) verdict = [wording("verdict.no_acceleration"), wording("verdict.software", { needed })];
  else if (warning) verdict = [wording("verdict.slow"), warning];
  else if (room !== null && room < gb) {
    verdict = [wording("verdict.not_kept"), wording("verdict.room", { size: gigabytes(room, 1) })];
  }
  isUnsure = verdict === good;
  say(verdict[0], verdict[1]);
  element("get-model").disabled = Boolean(stop);
  if (stop) element("card").before(element("demo")); // first what can be used here
  element("get-model").classList.toggle("strong", !stop && !software);
  element("see").classList.toggle("strong", Boolean(stop || software));
  const least = room < 10 ? room : Math.floor(room);
  const facts = [
    ["machine.gpu", stop ? wording("machine.none") : software ? wording("machine.stands_in", { gpu }) : gpu],
    ["machine.memory", memory && memoryOf(memory, needs)],
    ["machine.disk", room !== null && wording("machine.room", { size: gigabytes(least, room < 10 ? 1 : 0) })],
  ];
  for (const [name, value] of facts) if (value) tell(name, value);
  if (!stop && !speed) offerMeasuring();
}

function memoryOf(memory, needs) {
  const size = gigabytes(memory, Number.isInteger(memory) ? 0 : 1);
  return memory >= MOST_MEMORY_TOLD
    ? wording("machine.memory_at_least", { size, needs })
    : wording("machine.memory_is", { size, needs });
}

function offerMeasuring() {
  const measure = button(wording("speed.measure"), () => {
    asked = true;
    tell("machine.speed", wording("speed.starting"));
    if (state.phase === "closed") openModel(DEMO).then((opened) => opened || offerMeasuring());
    else measureSpeed();
  });
  measure.dataset.testid = "measure";
  tell("machine.speed", measure);
}

// Measures what the 4B model would reach here: a few seconds of the GPU's work, while the self-test model is open and not
// in use. In software it takes longer, so the user is asked.
export async function measureSpeed() {
  await shown; // what is measured is said after that
  if (state.phase !== "demo" || speed || (inSoftware && !asked)) return;
  asked = false;
  tell("machine.speed", wording("speed.measuring"));
  try {
    speed = engine.call("predict");
    const { rtf, live_step_ms } = await speed;
    const factor = 1 / rtf;
    tell(
      "machine.speed",
      factor >= 1
        ? wording("speed.faster", { factor: rounded(factor) })
        : wording("speed.slower", { factor: rounded(rtf) }),
    );
    const time = roughly(60 * rtf); // of a minute of audio
    if (inSoftware) say(wording("verdict.no_acceleration"), wording("verdict.software_measured", { time, needed }));
    else if (factor < 1) say(wording("verdict.too_slow"), wording("verdict.behind", { time }));
    else if (live_step_ms > LIVE_MS) {
      say(wording("verdict.not_live"), wording("verdict.recordings"));
    } else if (isUnsure) say(wording("verdict.fast"), needed);
  } catch (error) {
    speed = null;
    if (error.kind === "aborted") offerMeasuring();
    else tell("machine.speed", wording("speed.failed", { reason: reason(error) }));
  }
}

function rounded(factor) {
  return factor < 10 ? number(Number(factor.toFixed(1))) : number(factor, 0);
}

// A time, as precisely as it can be foretold. count: in seconds.
function roughly(count) {
  if (count >= 3600) return wording("time.hours", { clock: number(Number((count / 3600).toFixed(1))) });
  const step = count < 60 ? 1 : 10;
  return seconds(Math.max(1, Math.round(count / step)) * step);
}

function say(sentence, more) {
  element("verdict-title").firstElementChild.textContent = sentence;
  element("verdict-text").hidden = !more;
  replace(element("verdict-text"), more);
}

// A line of the list. key: of its name; value: a sentence or an element.
function tell(key, value) {
  const name = wording(key);
  const known = [...element("machine").children].find(({ textContent }) => textContent === name);
  const [term, description] = known
    ? [known, known.nextElementSibling]
    : [document.createElement("dt"), document.createElement("dd")];
  term.textContent = name;
  if (value instanceof Element) description.replaceChildren(value);
  else put(description, value);
  if (!known) element("machine").append(term, description);
}
