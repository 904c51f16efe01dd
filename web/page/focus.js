// The keyboard's focus stays near what the user did, where what had it is made anew or goes.

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);

// Whether what had the focus is gone, so that the next key would begin at the page's top.
export function isLost() {
  const { activeElement } = document;
  return !activeElement || activeElement === document.body || !activeElement.checkVisibility();
}

// Returns whether an element could take the focus. The page is not scrolled: the user may read elsewhere.
export function focusOn(target) {
  if (!target?.checkVisibility()) return false;
  if (target !== document.activeElement) target.focus({ preventScroll: true });
  return target === document.activeElement;
}

// Makes a list anew: make() does it, hides what is to be hidden, and gives its rows' buttons the ids that they had. The button
// that had the focus, of the list or one of `others`, has it again; if it cannot be pressed any more, another one of its row; if
// the row is gone, one of the row in its place; where no row has a button, `last`.
export function remade(list, make, last, others = []) {
  const { activeElement } = document;
  const button = [list, ...others].some((one) => one.contains(activeElement)) && activeElement.closest("button");
  const place = button && [...list.children].indexOf(button.closest("li"));
  make();
  if (!button) return;
  const same = element(button.id);
  if (focusOn(same)) return;
  const rows = list.children;
  const row = same?.closest("li") ?? rows[Math.max(0, Math.min(place, rows.length - 1))];
  const first = ".row > button:enabled";
  focusOn(row?.querySelector(first)) || focusOn(list.querySelector(first)) || focusOn(last);
}
