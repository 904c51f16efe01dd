// Which variants of the kernels were seen to be fastest, from one visit to the next: a model then opens without trying them.
// {case: variants}; a case is an adapter and a model, as the Worker names them. Where nothing can be kept, they are tried again.

const KEY = "voxtab.variants";

export function remembered() {
  try {
    return { ...JSON.parse(localStorage.getItem(KEY)) };
  } catch {
    return {};
  }
}

export function remember(name, variants) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...remembered(), [name]: variants }));
  } catch {
    /* the same as nothing */
  }
}
