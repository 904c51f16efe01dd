// A Worker of source.js: reads a model's parts, so that whoever hands bytes on to the GPU does not also fetch them.
// Requests are {verb, memory}, answered in order with {size}, {piece}, {} or {failure: {kind, message}}; the first message
// is {parts, pieceBytes} and has no answer. `memory` is that of a piece which was given earlier, the oldest first.

import { Parts } from "./shards.js";

let parts;
const verbs = {
  open: async () => ({ size: await parts.open() }),
  next: async () => ({ piece: await parts.read() }),
  end: () => parts.end(),
};

async function answer({ verb, memory }) {
  try {
    if (memory) await parts.takeBack(memory);
    const found = await verbs[verb]();
    self.postMessage({ ...found }, found?.piece ? [found.piece.buffer] : []);
  } catch (error) {
    self.postMessage({ failure: { kind: error.kind ?? "bug", message: error.message } });
  }
}

let last = Promise.resolve();
self.onmessage = ({ data }) => {
  if (data.parts) parts = new Parts(data.parts, data.pieceBytes);
  else last = last.then(() => answer(data));
};
