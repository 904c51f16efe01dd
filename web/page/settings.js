// The settings: chosen by the user, by the link or by the model's maker; the user's are remembered.

import { DEFAULT_DELAY_MS, DELAYS_MS } from "../config.js";
import { forget, remember, remembered } from "../remembered.js";
import { resettable, showReset } from "./choices.js";
import { error } from "./view.js";
import { isChosen, language, number, sentences, wording } from "./words.js";

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);
const [delay, silence, guard, alternatives, forFiles, noisy] = [
  "delay",
  "left-silence",
  "guard",
  "alternatives",
  "files-2400",
  "noisy",
].map(element);

// Words in 100 that are wrong at a delay: Mistral's own figures, FLEURS, the mean of its languages and English (spec 2.2).
const ERRORS = { 160: [12.6, 6.46], 480: [8.72, 4.9], 960: [7.7, 4.34], 2400: [6.73, 4.05] };

const longest = DELAYS_MS.at(-1);
const longestStep = DELAYS_MS.at(-2); // between it and the longest, the model knows no delay
let byModel = { delay: DEFAULT_DELAY_MS, "left-silence": Number(silence.min) };
let last = DEFAULT_DELAY_MS; // delay, before the slider moved
// By the user or by the link: a model's defaults do not replace these.
const chosen = { delay: false, "left-silence": false };
const SWITCHES = { guard, alternatives, files_2400: forFiles, noisy };
const ALTERNATIVES = 4; // of a token, itself included

// What the next transcription is asked for. live: whether someone speaks, and reads along.
export function settings(live) {
  return {
    delay_ms: !live && forFiles.checked ? longest : Number(delay.value),
    left_silence_tokens: silence.value === "" || !silence.validity.valid ? null : Number(silence.value),
    guard: guard.checked,
    alternatives: alternatives.checked ? ALTERNATIVES : 0,
  };
}

// A model's defaults.
export function defaults(delayMs, leftSilence) {
  byModel = { delay: delayMs, "left-silence": leftSilence };
  for (const name in chosen) if (!chosen[name]) element(name).value = byModel[name];
  showDelay();
}

// What was chosen, for the page's address: [name, value] each.
export function forLink() {
  const numbers = [
    ["delay", delay, chosen.delay],
    ["left_silence", silence, chosen["left-silence"]],
  ];
  return [
    ...numbers.filter(([, , isChosen]) => isChosen).map(([name, { value }]) => [name, value]),
    ...Object.keys(SWITCHES)
      .filter((name) => isSwitched(SWITCHES[name]))
      .map((name) => [name, String(Number(SWITCHES[name].checked))]),
    ...(isChosen() ? [["lang", language]] : []),
  ];
}

// The page's address asks for no settings any more.
function forgetLink() {
  const address = new URL(location.href);
  for (const name of ["delay", "left_silence", ...Object.keys(SWITCHES)]) address.searchParams.delete(name);
  history.replaceState(null, "", address);
}

// From the page's address. Returns a sentence about invalid values, or null.
export function chooseSettings(query) {
  const [delayMs, leftSilence] = [query.get("delay"), query.get("left_silence")];
  const wrong = [];
  for (const [name, input] of Object.entries(SWITCHES)) if (query.has(name)) input.checked = query.get(name) !== "0";
  if (delayMs !== null) {
    if (DELAYS_MS.includes(Number(delayMs))) {
      choose("delay", Number(delayMs));
      forFiles.checked = query.get("files_2400") === "1"; // the link's delay is for its files
    } else {
      wrong.push(wording("settings.bad_delay", { delay: delayMs, used: DEFAULT_DELAY_MS }));
    }
  }
  if (leftSilence !== null) {
    if (isSilence(leftSilence)) {
      choose("left-silence", Number(leftSilence));
    } else {
      const { min, max } = silence;
      wrong.push(wording("settings.bad_silence_link", { value: leftSilence, min, max }));
    }
  }
  showReset();
  showDelay();
  return wrong.length ? sentences(wrong) : null;
}

const isSilence = (value) =>
  /^\d+$/.test(value) && Number(value) >= Number(silence.min) && Number(value) <= Number(silence.max);

const isSwitched = (input) => input.checked !== input.defaultChecked;

function choose(name, value) {
  element(name).value = value;
  chosen[name] = true;
}

function keep() {
  const kept = Object.keys(chosen).filter((name) => chosen[name]);
  const switched = Object.keys(SWITCHES).filter((name) => isSwitched(SWITCHES[name]));
  remember("settings", { ...Object.fromEntries(kept.map((name) => [name, Number(element(name).value)])), switched });
  showReset();
}

// Says what the delay means.
function showDelay() {
  last = Number(delay.value);
  const isRecommended = last === byModel.delay;
  const values = { delay: last };
  element("delay-shown").textContent = wording("settings.delay", values);
  delay.setAttribute(
    "aria-valuetext",
    isRecommended ? wording("settings.delay_recommended", values) : wording("settings.delay", values),
  );
  const published = Object.keys(ERRORS).map(Number);
  const [below, above] = [published.findLast((ms) => ms <= last), published.find((ms) => ms >= last)];
  const figures = (ms) => wording("settings.errors", { mean: number(ERRORS[ms][0]), english: number(ERRORS[ms][1]) });
  const wrong =
    below === above
      ? figures(below)
      : below
        ? wording("settings.errors_between", { least: figures(above), most: figures(below) })
        : wording("settings.errors_more", { least: figures(above) });
  element("delay-help").textContent = isRecommended
    ? wording("settings.delay_help_recommended", { wrong })
    : wording("settings.delay_help", { wrong });
}

delay.addEventListener("input", () => {
  const value = Number(delay.value);
  if (value > longestStep && value < longest) delay.value = value > last ? longest : longestStep;
  showDelay();
});
delay.addEventListener("change", () => {
  chosen.delay = true;
  keep();
});
// The offer to transcribe files with the longest delay. use: what else is to be done when the user takes it.
export function offerLongest(use) {
  element("use-longest").onclick = () => {
    forFiles.checked = true;
    keep();
    use();
  };
}

// hasFiles: of a model that knows that delay.
export function showOffer(hasFiles) {
  element("offer-longest").hidden = !hasFiles || forFiles.checked || Number(delay.value) === longest;
}

silence.addEventListener("change", () => {
  chosen["left-silence"] = silence.value !== "" && silence.validity.valid;
  if (!chosen["left-silence"]) {
    silence.value = byModel["left-silence"];
    const { min, max, value } = silence;
    error(wording("settings.bad_silence", { min, max, value }));
  }
  keep();
});

for (const input of Object.values(SWITCHES)) input.addEventListener("change", keep);

// What the user chose at an earlier visit.
const before = remembered("settings", {});
if (DELAYS_MS.includes(before.delay)) choose("delay", before.delay);
if (isSilence(String(before["left-silence"]))) choose("left-silence", before["left-silence"]);
for (const name of before.switched ?? []) if (name in SWITCHES) SWITCHES[name].checked = !SWITCHES[name].defaultChecked;
resettable(
  () => chosen.delay || chosen["left-silence"] || Object.values(SWITCHES).some(isSwitched),
  () => {
    forget("settings");
    Object.assign(chosen, { delay: false, "left-silence": false });
    for (const input of Object.values(SWITCHES)) input.checked = input.defaultChecked;
    defaults(byModel.delay, byModel["left-silence"]);
    forgetLink();
  },
);
showDelay();
