// The engine in its Worker. Every call is answered once, under its id; what comes unasked is an event.

export class EngineError extends Error {
  // kind: what the worker says ('model', 'tokenizer', 'audio', 'device', 'network', 'aborted', 'bug'), or
  // 'lost' (the GPU went away; the worker lives) or 'crash' (the worker is gone).
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

// Events: progress, text, lag, lost, crash; each a CustomEvent with the worker's message as its detail.
export class Session extends EventTarget {
  constructor() {
    super();
    this.alive = false;               // it has said something: a crash later on is not a broken installation
    this._pending = new Map();        // id -> {resolve, reject}
    this._lastId = 0;
    this._lost = null;                // the error for calls between the loss of the device and the next open
    this._worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this._worker.onmessage = ({ data }) => this._take(data);
    this._worker.onmessageerror = () => this._crash("it sent something unreadable");
    this._worker.onerror = (event) => {
      event.preventDefault();
      this._crash(event.message ?? "its files did not load");
    };
  }

  // Any promise of this session may be awaited late or never: a rejection is then not an error of the page.
  call(verb, values = {}, transfer = []) {
    const answer = new Promise((resolve, reject) => {
      if (verb === "open") this._lost = null;
      if (this._lost) return reject(this._lost);
      if (!this._worker) return reject(new EngineError("crash", "The engine has been closed."));
      const id = ++this._lastId;
      this._pending.set(id, { resolve, reject });
      this._worker.postMessage({ ...values, id, verb }, transfer);
    });
    answer.catch(() => {});
    return answer;
  }

  // End the worker, whatever it does; open calls are answered with `error`.
  close(error = new EngineError("aborted", "Stopped.")) {
    this._worker?.terminate();
    this._worker = null;
    this._rejectAll(error);
  }

  _take(message) {
    this.alive = true;
    if (message.event) {
      if (message.event === "lost") {
        this._lost = new EngineError("lost", message.message);
        this._rejectAll(this._lost);
      }
      this.dispatchEvent(new CustomEvent(message.event, { detail: message }));
      return;
    }
    const call = this._pending.get(message.id);
    this._pending.delete(message.id);
    if (message.error) call?.reject(new EngineError(message.error.kind, message.error.message));
    else call?.resolve(message.result);
  }

  _crash(reason) {
    if (!this._worker) return;
    const error = new EngineError("crash", this.alive
      ? `The engine stopped unexpectedly (${reason}).`
      : `The engine could not start (${reason}): reload the page. If that does not help, the site is incomplete.`);
    this.close(error);
    this.dispatchEvent(new CustomEvent("crash", { detail: error }));
  }

  _rejectAll(error) {
    const calls = [...this._pending.values()];
    this._pending.clear();
    for (const { reject } of calls) reject(error);
  }
}
