// The choice of the page's language: remembered, and given up when the settings are reset. language.js follows it.

import { forget, remember } from "../remembered.js";
import { allows } from "./state.js";
import { isChosen, language, languages, nameOf } from "./words.js";

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
  if (allows("openModel")) return begin(() => remember("language", choice.value));
  choice.value = language; // something runs
});

document.getElementById("reset").addEventListener("click", () => {
  if (isChosen && allows("openModel")) begin(() => forget("language"));
});

// Every sentence on the page is of its language, so the page begins again.
function begin(change) {
  change();
  const page = new URL(location.href);
  page.searchParams.delete("lang"); // it would come before what was chosen
  history.replaceState(null, "", page);
  location.reload();
}
