// The Worker that reads a model's shards (step 3 in source.js). Its first message is {shards, chunkBytes} and has no
// answer. Then requests are {verb, memory}, answered in order with {size}, {chunk}, {} or {failure: {kind, message}}.
// `memory` is the memory of the oldest chunk that was not given back yet, or null.

import { Shards } from "./shards.js";

let shards;
const verbs = {
  open: async () => ({ size: await shards.open() }),
  next: async () => ({ chunk: await shards.read() }),
  end: () => shards.end(),
};

// The first failure. The failing answer may belong to a chunk requested ahead that no one awaits, so repeat it in every
// later answer.
let failure = null;

async function answer({ verb, memory }) {
  try {
    if (failure) throw failure;
    if (memory) await shards.takeBack(memory);
    const found = await verbs[verb]();
    self.postMessage({ ...found }, { transfer: found?.chunk ? [found.chunk.buffer] : [] });
  } catch (error) {
    failure = error;
    self.postMessage({ failure: { kind: error.kind ?? "bug", message: error.message } });
  }
}

let last = Promise.resolve();
self.onmessage = ({ data }) => {
  if (data.shards) shards = new Shards(data.shards, data.chunkBytes);
  else last = last.then(() => answer(data));
};
