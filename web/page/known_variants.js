// The kernel variants that were fastest on an earlier visit, so that a model opens without trying them all again.
// Kept in the browser as {case: variants}. A case is a GPU and a model, as the Worker names them.

const KEY = "voxtab.variants";

export function known() {
  try {
    return { ...JSON.parse(localStorage.getItem(KEY)) };
  } catch {
    return {}; // nothing is kept, or it is unreadable
  }
}

export function remember(name, variants) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...known(), [name]: variants }));
  } catch {
    // The browser keeps nothing for this page: variants are tried again on the next visit.
  }
}
