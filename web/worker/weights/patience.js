// How long a download waits, for what, and what the user is told meanwhile.

export const TIMES = {
  tell: 10, // seconds without a byte, after which the user is told
  again: 30, // seconds without a byte, after which the request is made again
  pauses: [0.3, 1, 2, 4, 8, 15, 30], // seconds before each further attempt, if nothing came in between
  longest: 900, // seconds that a server may ask to wait; the user is told to come back if it asks for more
};

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

// A server's answer that may be different at the next attempt. message: the sentence for the user if it is not.
export class Temporary extends Error {
  // after: seconds that the server asks to wait, or null.
  constructor(message, after = null) {
    super(message);
    this.after = after;
  }
}

export class Patience {
  // tell: called with a sentence for the user, or with null when there is nothing to tell any more. begin: called once the
  // first bytes come that can be paused.
  constructor(tell, times = TIMES, begin = () => {}) {
    this.say = tell;
    this.begin = begin;
    this.times = times;
    this.told = false;
    this.abort = null; // ends the request that is being waited for
    this.paused = null; // {promise, resolve} while the user has paused the download
  }

  tell(sentence) {
    if (sentence || this.told) this.say(sentence);
    this.told = Boolean(sentence);
  }

  // Waits for `coming` from `host`. abort: ends the request, so that `coming` rejects.
  async watch(coming, host, abort) {
    const { tell, again } = this.times;
    const timers = [
      setTimeout(() => this.tell(`Nothing has come from ${host} for ${tell} s.`), 1000 * tell),
      setTimeout(abort, 1000 * again),
    ];
    this.abort = abort;
    try {
      const come = await coming;
      this.tell(null);
      return come;
    } finally {
      for (const timer of timers) clearTimeout(timer);
      this.abort = null;
    }
  }

  // Waits before the next attempt, and tells each second how long it still will. failures: attempts that failed in a row, 1 at
  // least; error: what the last one threw. Throws it if there were too many.
  async wait(error, failures, host) {
    const { pauses, longest } = this.times;
    if (failures > pauses.length || error.after > longest) throw error;
    const after = error.after ?? null;
    // The jitter keeps many pages that failed together from asking together again.
    const seconds = after ?? pauses[failures - 1] * (0.75 + 0.5 * Math.random());
    const toTell = (count) =>
      after === null
        ? `Nothing comes from ${host}. It is asked again in ${count} s.`
        : `${host} asks to wait ${count} s.`;
    for (let left = seconds; left > 0; ) {
      const count = Math.ceil(left);
      if (after !== null || seconds >= 1) this.tell(toTell(count));
      await sleep(left - (count - 1));
      left = count - 1;
    }
  }

  pause(paused) {
    if (paused && !this.paused) {
      this.paused = Promise.withResolvers();
      this.abort?.();
    } else if (!paused && this.paused) {
      this.paused.resolve();
      this.paused = null;
    }
  }

  // Resolves once the user goes on.
  async unpaused() {
    while (this.paused) {
      this.tell("The download is paused.");
      await this.paused.promise;
      this.tell(null);
    }
  }
}
