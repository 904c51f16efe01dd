// The buttons of an entry in a list: one in sight, the others behind “More”.

import { wording } from "./words.js";

const NONE = { id: null, close: () => {} };
let opened = NONE; // the entry whose other buttons are in sight: one at a time

// first, others: buttons. id: of the entry, by which it is known when its list is made anew. more: makes the button “More”
// of its label. Returns the elements to append to the entry.
export function folded(id, first, others, more) {
  const row = rowOf([first]);
  if (others.length < 2) {
    row.append(...others);
    return [row];
  }
  const rest = rowOf(others);
  rest.classList.add("rest");
  rest.id = `${id}-rest`;
  const press = more(wording("button.more"));
  press.setAttribute("aria-controls", rest.id);
  row.append(press);
  const show = (isOpen) => {
    rest.hidden = !isOpen;
    press.setAttribute("aria-expanded", String(isOpen));
  };
  const open = () => {
    show(true);
    opened = { id, close: () => show(false) };
  };
  press.onclick = () => {
    const wasOpen = !rest.hidden;
    opened.close();
    opened = NONE;
    if (wasOpen) return;
    open();
    rest.scrollIntoView({ block: "nearest" }); // they are below the list's edge, if it is the last entry in sight
  };
  show(false);
  if (opened.id === id) open();
  return [row, rest];
}

function rowOf(buttons) {
  const made = document.createElement("div");
  made.className = "row";
  made.append(...buttons);
  return made;
}
