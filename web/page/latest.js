// What is asked for again before it has come may come in another order.

// ask: an asynchronous function. Returns one that does the same, but resolves with null once it was called again.
export function latest(ask) {
  let count = 0;
  return async () => {
    const mine = ++count;
    try {
      const found = await ask();
      return mine === count ? found : null;
    } catch (error) {
      if (mine === count) throw error;
      return null;
    }
  };
}
