// The Worker that reads from addresses, and alone may leave this origin: web/headers.json has its policy.
//
// It reads a model's shards (step 4 in source.js): its first message is {shards, chunkBytes, network, times}
// and has no answer; nor has {paused}. Then requests are {verb, memory}, answered in order with {size}, {chunk, isKept},
// {part, size} or {failure: {kind, message}}. `memory` is the memory of the oldest chunk that was not given back yet, or null. Messages
// that answer nothing are {tell: a sentence or null}, {warn: a sentence} and {downloading: true}.
//
// Or it makes a single request (elsewhere.js), answered with {found} or {failure}.

import { serve } from "../siblings.js";
import { text } from "./file.js";
import { listing, pinned } from "./hub.js";
import { Patience } from "./patience.js";
import { Shards } from "./shards.js";

const tell = (sentence) => post({ tell: sentence });
const warned = new Set();
const warn = (sentence) => {
  if (!warned.has(sentence)) post({ warn: sentence });
  warned.add(sentence);
};

let shards;
let patience;
const verbs = {
  open: async () => ({ size: await shards.open() }),
  part: ({ index, from, to }) => shards.part(index, from, to),
  next: async () => ({ chunk: await shards.read(), isKept: shards.isKept }),
  listing: async ({ url }) => ({ found: await listing(url) }),
  pinned: async ({ url }) => ({ found: await pinned(url) }),
  text: async ({ url, most }) => ({ found: await text(url, most, new Patience(tell)) }),
  blob: async ({ url }) => ({ found: await blob(url) }),
};

async function blob(url) {
  try {
    const response = await fetch(url, { referrerPolicy: "no-referrer" });
    const type = response.headers.get("Content-Type") ?? "";
    return { status: response.status, type, bytes: response.ok ? await response.blob() : null };
  } catch {
    return null;
  }
}

// The first failure. The failing answer may belong to a chunk requested ahead that no one awaits, so repeat it in every
// later answer.
let failure = null;

async function answer(request) {
  const { verb, memory } = request;
  try {
    if (failure) throw failure;
    if (memory) shards.takeBack(memory);
    const found = await verbs[verb](request);
    post(found, found.chunk ? [found.chunk.buffer] : []);
  } catch (error) {
    failure = error;
    post({ failure: { kind: error.kind ?? "bug", message: error.message } });
  }
}

let last = Promise.resolve();
const post = serve((data) => {
  if (data.shards) {
    patience = new Patience(tell, data.times, () => post({ downloading: true }));
    shards = new Shards(data.shards, { ...data, patience, tell, warn });
  } else if ("paused" in data) patience.pause(data.paused);
  else last = last.then(() => answer(data));
});
