// The choice of the page's language: remembered, and given up when the settings are reset. words.js changes it in place.

import { forget, remember } from "../remembered.js";
import { resettable, showReset } from "./choices.js";
import * as view from "./view.js";
import { choose, isChosen, language, languages, nameOf, onLanguage, reason, wording } from "./words.js";

const choice = /** @type {HTMLSelectElement} */ (document.getElementById("language"));

choice.append(
  ...languages.map((code) => {
    const option = document.createElement("option");
    Object.assign(option, { value: code, lang: code, textContent: nameOf(code) });
    return option;
  }),
);
const show = () => {
  choice.value = language;
};
show();
onLanguage(show);

async function change(wanted, keep) {
  try {
    await choose(wanted, keep);
  } catch (error) {
    show();
    view.error(wording("language.failed", { reason: reason(error) }));
  }
}

// The link's language would come before the one that was chosen.
function withoutLink() {
  const page = new URL(location.href);
  page.searchParams.delete("lang");
  history.replaceState(null, "", page);
}

choice.addEventListener("change", () => {
  const { value } = choice;
  change(value, () => {
    remember("language", value);
    withoutLink();
  });
});

resettable(isChosen, () => {
  change(document.documentElement.dataset.preferred, () => {
    forget("language");
    withoutLink();
  });
});
onLanguage(showReset);
