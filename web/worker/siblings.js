// Workers that a Worker wants beside it. The page starts them: Firefox 153 now and then puts a Worker to sleep for ever
// after it has started one itself.

import { startWorker } from "./start.js";

const inPage = "document" in globalThis;

// As a Worker that was started from here: `onmessage`, `onerror`, `postMessage`, `terminate`. Its script calls `serve`.
export class Sibling {
  constructor(url) {
    const [talk, control] = [new MessageChannel(), new MessageChannel()];
    this.onmessage = (_) => {};
    this.onerror = (_) => {};
    this.port = talk.port1;
    this.control = control.port1;
    this.port.onmessage = (event) => this.onmessage(event);
    this.control.onmessage = ({ data }) => this.onerror(data);
    const request = { event: "sibling", url: url.href };
    const ports = [talk.port2, control.port2];
    if (inPage) start(request, ports);
    else self.postMessage(request, { transfer: ports });
  }

  postMessage(message, transfer = []) {
    this.port.postMessage(message, transfer);
  }

  terminate() {
    this.control.postMessage("terminate");
  }
}

// In a sibling: calls `take` with each message of the Worker that wanted it, the next one once a promise that it returned
// is settled: answers come in the order of the questions. What it throws ends the sibling with `onerror`. Returns what
// posts a message to that Worker.
export function serve(take) {
  let port;
  let last = Promise.resolve();
  self.onmessage = ({ ports }) => {
    [port] = ports;
    port.onmessage = ({ data }) => {
      last = last.then(() => take(data));
      last.catch((error) =>
        setTimeout(() => {
          throw error;
        }),
      );
    };
  };
  return (message, transfer = []) => port.postMessage(message, transfer);
}

// Starts the siblings that `worker` asks for. Returns what ends them; `worker` itself is the caller's.
export function startSiblingsOf(worker) {
  const ends = [];
  worker.addEventListener("message", ({ data, ports }) => {
    if (data?.event === "sibling") ends.push(start(data, ports));
  });
  return () => {
    for (const end of ends) end();
  };
}

// ports: to who wants it, for their messages, and for its end and its errors.
function start({ url }, ports) {
  const [port, control] = ports;
  const worker = startWorker(new URL(url));
  const endSiblings = startSiblingsOf(worker);
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    control.postMessage({ message: event.message });
  });
  const end = () => {
    endSiblings();
    worker.terminate();
  };
  control.onmessage = end;
  worker.postMessage(null, [port]);
  return end;
}
