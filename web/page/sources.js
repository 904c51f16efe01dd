// What the page listens to: chosen below the Speak button, and remembered. settings.js remembers the noisy room.

import { canShare, microphones, SHARED } from "../audio/sources.js";
import { forget, remember, remembered } from "../remembered.js";
import { resettable, showReset } from "./choices.js";
import { wording } from "./words.js";

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);
const [device, noisy] = ["source", "noisy"].map(element);

const SYSTEM = { id: "", label: wording("source.system") };
const TAB = { id: SHARED, label: wording("source.tab") };

let chosen = remembered("source", SYSTEM); // {id, label}

// What Microphone.open takes.
export function source() {
  return { device: chosen.id, isNoisy: noisy.checked };
}

export const nameOfSource = () => chosen.label;

// The chosen microphone is not there: the system's takes its place, and the choice stays for when it is back.
export async function showSources() {
  const found = [SYSTEM, ...(await microphones()), ...(canShare() ? [TAB] : [])];
  // Browsers give a microphone another id when the site's data was deleted.
  const there = found.find(({ id }) => id === chosen.id) ?? found.find(({ label }) => label === chosen.label);
  chosen = there ?? chosen;
  const options = there ? found : [...found, { ...chosen, label: wording("source.missing", { name: chosen.label }) }];
  device.replaceChildren(
    ...options.map(({ id, label }) => {
      const option = document.createElement("option");
      option.value = id;
      option.textContent = label;
      return option;
    }),
  );
  device.value = chosen.id;
  element("no-tabs").hidden = canShare();
  showChoice();
}

function summary() {
  if (chosen.id === SHARED) return wording("source.summary_tab");
  return chosen.id ? wording("source.summary", { name: chosen.label }) : wording("source.summary_system");
}

function showChoice() {
  const isShared = chosen.id === SHARED;
  element("source-summary").textContent = summary();
  element("speak").textContent = isShared ? wording("work.listen") : wording("work.speak");
  element("noisy-row").hidden = isShared;
}

device.addEventListener("change", () => {
  chosen = { id: device.value, label: device.selectedOptions[0].textContent };
  remember("source", chosen);
  showChoice();
  showReset();
});
resettable(
  () => chosen.id !== SYSTEM.id,
  () => {
    forget("source");
    chosen = SYSTEM;
    showSources();
  },
);
navigator.mediaDevices?.addEventListener?.("devicechange", showSources);
