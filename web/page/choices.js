// What the user has chosen on the page, until the settings are reset: one list of it all.

import { forget, remember, remembered } from "../remembered.js";

const button = document.getElementById("reset");
const choices = []; // {isOwn, undo}

// isOwn(): whether it is the user's, and not what the page does by itself; undo(): takes it back.
export function resettable(isOwn, undo) {
  choices.push({ isOwn, undo });
  showReset();
}

// Called whenever one of them has changed.
export function showReset() {
  button.hidden = !choices.some(({ isOwn }) => isOwn());
}

// A <select> whose value is remembered, by its id. taken(): called when it has another value.
export function rememberChoice(select, taken = () => {}) {
  const options = [...select.options];
  const usual = (options.find(({ defaultSelected }) => defaultSelected) ?? options[0]).value;
  const before = remembered(select.id);
  select.value = options.some(({ value }) => value === before) ? before : usual;
  select.addEventListener("change", () => {
    remember(select.id, select.value);
    taken();
    showReset();
  });
  resettable(
    () => select.value !== usual,
    () => {
      forget(select.id);
      select.value = usual;
      taken();
    },
  );
}

button.addEventListener("click", () => {
  for (const { isOwn, undo } of choices) if (isOwn()) undo();
  showReset();
});
