// A Worker that checks all that the store has of a model: see `verify` in models.js.

import { serve } from "../siblings.js";
import { Checkers } from "../weights/checkers.js";
import { KeptShard } from "./kept_shard.js";
import { readRecord } from "./models.js";

const TOGETHER = 4; // pieces that are checked at a time

const post = serve(async ({ model }) => {
  try {
    post({ found: await verify(model) });
  } catch (error) {
    post({ failure: error.message });
  }
});

async function verify(model) {
  const { shards, tokenizer } = JSON.parse(await readRecord(model));
  const all = [];
  for (const described of [...shards, tokenizer])
    all.push({ kept: await KeptShard.open(described.store), given: described.pieces?.sha256 });
  const total = all.reduce((sum, { kept }) => sum + kept.bytes, 0);
  const checkers = new Checkers();
  const found = { pieces: 0, damaged: 0 };
  let done = 0;
  for (const { kept, given } of all) {
    const wrong = [];
    const check = async (i) => {
      const from = i * kept.header.piece_bytes;
      const bytes = await kept.read(from, Math.min(kept.header.bytes, from + kept.header.piece_bytes));
      const length = bytes?.length ?? 0;
      const sum = bytes && (await checkers.check(bytes)).sha256;
      if (sum !== (given?.[i].toLowerCase() ?? kept.sum(i))) wrong.push(i);
      found.pieces++;
      done += length;
      post({ done, total });
    };
    const there = [...kept.sums.keys()].filter((i) => kept.has(i));
    for (let at = 0; at < there.length; at += TOGETHER) await Promise.all(there.slice(at, at + TOGETHER).map(check));
    if (wrong.length) {
      await kept.take(() => {});
      await kept.describe(kept.header);
      for (const i of wrong) kept.forget(i);
    }
    found.damaged += wrong.length;
    kept.close();
  }
  return found;
}
