// Notices: what the page tells until it is so no more, or the user dismisses it. index.html has them: NAME, its sentence in
// NAME-text, and the button that dismisses it.

import { remember, remembered } from "../remembered.js";
import { put } from "./words.js";

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);
const FOR_GOOD = "warning"; // what it says of this machine stays dismissed at the next visit
const dismissed = new Set(); // ids of those that say now what the user has dismissed

// Tells a sentence, or null if there is nothing to tell. It may be told again and again: what was dismissed stays away
// until something else is told. isNew: this is about something that has just happened, and is shown in any case.
export function notice(id, sentence, isNew = false) {
  const text = element(`${id}-text`);
  const before = text.textContent;
  if (isNew || before !== (sentence ?? "")) put(text, sentence);
  if (isNew || before !== text.textContent) dismissed.delete(id);
  const isOld = id === FOR_GOOD && remembered("dismissed") === text.textContent;
  element(id).hidden = !sentence || dismissed.has(id) || isOld;
}

for (const button of document.querySelectorAll(".notice > .dismiss")) {
  const place = button.parentElement;
  button.addEventListener("click", () => {
    dismissed.add(place.id);
    place.hidden = true;
    if (place.id === FOR_GOOD) remember("dismissed", element(`${FOR_GOOD}-text`).textContent);
  });
}
