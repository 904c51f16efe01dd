// The choice of the page's language: remembered, and given up when the settings are reset. language.js follows it.

import { forget, remember } from "../remembered.js";
import { allows, state } from "./state.js";
import * as view from "./view.js";
import { isChosen, language, languages, nameOf, wording } from "./words.js";

const choice = /** @type {HTMLSelectElement} */ (document.getElementById("language"));

choice.append(
  ...languages.map((code) => {
    const option = document.createElement("option");
    Object.assign(option, { value: code, lang: code, textContent: nameOf(code) });
    return option;
  }),
);
choice.value = language;
choice.addEventListener("change", () => {
  const wanted = choice.value;
  choice.value = language; // the page has it until it begins again
  begin(() => remember("language", wanted));
});

document.getElementById("reset").addEventListener("click", () => {
  if (isChosen) begin(() => forget("language"));
});

// Every sentence on the page is of its language, so the page begins again. The user is asked where that closes a model or
// takes a text away.
async function begin(change) {
  if (!allows("openModel")) return; // something runs
  const ask = () => view.ask(wording("language.question"), [], wording("language.change"), wording("language.keep"));
  if ((state.phase === "ready" || view.text()) && !(await ask())) return;
  if (!allows("openModel")) return; // it began meanwhile
  change();
  const page = new URL(location.href);
  page.searchParams.delete("lang"); // it would come before what was chosen
  history.replaceState(null, "", page);
  location.reload();
}
