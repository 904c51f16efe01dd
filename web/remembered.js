// What this browser remembers for the page from one visit to the next: JSON values by name.

const name = (what) => `voxtab.${what}`;

// The value, or `otherwise` if nothing is remembered or it is unreadable.
export function remembered(what, otherwise = null) {
  try {
    return JSON.parse(localStorage.getItem(name(what))) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(what, value) {
  try {
    localStorage.setItem(name(what), JSON.stringify(value));
  } catch {
    // The browser keeps nothing for this page.
  }
}

export function forget(what) {
  try {
    localStorage.removeItem(name(what));
  } catch {
    // The browser keeps nothing for this page.
  }
}
