// The reader's side of checker.js, some Workers that compute the SHA-256 of pieces, and of hasher.js; and the memory of
// pieces that is free.

import { Failure } from "../../failure.js";
import { Sibling } from "../siblings.js";

// Pieces that are checked at a time, each in a Worker that takes 10 MB. With 6 instead of 2, 2.5 GB came from the store in
// 2.2 s instead of 2.6 on 16 cores: the engine's own thread is the limit then.
const COUNT = Math.max(2, Math.min(4, Math.floor((globalThis.navigator?.hardwareConcurrency ?? 4) / 2)));

export class Checkers {
  constructor() {
    this.count = COUNT;
    this.checkers = [];
    this.free = []; // ArrayBuffers
  }

  // Free memory of this size, or undefined.
  memory(bytes) {
    while (this.free.length) {
      const memory = this.free.pop();
      if (memory.byteLength === bytes) return memory; // another shard's pieces may have another size
    }
  }

  // A promise of {sha256, bytes}. The piece's memory is away until then.
  check(piece) {
    // A Worker takes 10 MB, so a further one starts only if the others are busy.
    let idlest = this.checkers.toSorted((one, other) => one.asked.length - other.asked.length)[0];
    if (!idlest || (idlest.asked.length && this.checkers.length < COUNT)) {
      idlest = new Checker("checker.js");
      this.checkers.push(idlest);
    }
    return idlest.ask({ piece });
  }
}

// One Worker, with checker.js or hasher.js. It answers in order.
export class Checker {
  constructor(script) {
    this.asked = [];
    this.worker = new Sibling(new URL(script, import.meta.url));
    this.worker.onmessage = ({ data }) => this.asked.shift().resolve(data);
    this.worker.onerror = ({ message }) => {
      this.failure = new Failure(
        "network",
        `The model could not be checked (${message ?? `${script} did not load`}): reload the page.`,
      );
      for (const { reject } of this.asked.splice(0)) reject(this.failure);
    };
  }

  // A promise of the answer.
  ask(request) {
    const answer = Promise.withResolvers();
    answer.promise.catch(() => {}); // it is awaited later, or never if reading stops
    if (this.failure) answer.reject(this.failure);
    else {
      this.asked.push(answer);
      this.worker.postMessage(request, request.piece ? [request.piece.buffer] : []);
    }
    return answer.promise;
  }

  close() {
    this.worker.terminate();
  }
}
