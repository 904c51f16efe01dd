// Mutated answers of servers and hubs through the reader's own code, in node: a file ends in its bytes, or in one sentence;
// where a manifest has sums, never in other bytes. Usage: node mutate_answers.mjs WEB/WORKER/WEIGHTS COUNT
import { createHash } from "node:crypto";

const [, , folder, count] = process.argv;
globalThis.location = new URL("https://page.example/"); // what a Worker has
const { Shard } = await import(`${folder}/shard.js`);
const { Patience } = await import(`${folder}/patience.js`);
const { pinned } = await import(`${folder}/hub.js`);

globalThis.self = { location };
// Pauses between attempts take no time.
globalThis.setTimeout = (act, ms) => (ms < 1e5 ? queueMicrotask(act) : undefined);
const TIMES = { tell: 1000, again: 1000, pauses: [0.001, 0.001, 0.001], longest: 60 };
AbortSignal.timeout = () => undefined;

let seed = 1;
const random = (below) => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return Math.floor((seed / 2 ** 32) * below);
};
const pick = (from) => from[random(from.length)];

const PIECE = 1000;
const DATA = Uint8Array.from({ length: 2345 }, () => random(256));
const sum = (bytes) => createHash("sha256").update(bytes).digest("hex");
const SUMS = Array.from({ length: 3 }, (_, i) => sum(DATA.subarray(i * PIECE, (i + 1) * PIECE)));
const STATUSES = [200, 200, 204, 206, 206, 301, 304, 400, 404, 416, 429, 500, 503, 599];
const WORDS = [
  "0",
  "-1",
  "1e9",
  "99999999999999999999",
  "*",
  "/",
  "-",
  "bytes",
  "gzip",
  "text/html",
  "\t",
  "ÿ",
  "a".repeat(300),
];
const HEADERS = [
  "Content-Range",
  "Content-Length",
  "ETag",
  "Last-Modified",
  "Content-Encoding",
  "Retry-After",
  "Content-Type",
];

function mutated(text) {
  for (let change = 1 + random(3); change; change--) {
    const at = random(text.length + 1);
    text =
      text.slice(0, at) + pick(["", pick(WORDS), String.fromCharCode(32 + random(95))]) + text.slice(at + random(4));
  }
  return text;
}

// A body in chunks; it may break off.
function bodyOf(bytes, breaks) {
  let at = 0;
  const read = async () => {
    if (at >= bytes.length) {
      if (breaks) throw new TypeError("network error");
      return { done: true };
    }
    const value = bytes.slice(at, at + 700);
    at += value.length;
    return { done: false, value };
  };
  const getReader = (options) => {
    if (options) throw new TypeError("no BYOB");
    return { read };
  };
  return { getReader, cancel: async () => {} };
}

// As Headers, which take most of the time in node.
class Lines extends Map {
  constructor(lines) {
    super(Object.entries(lines));
  }
  get(name) {
    return super.get(name) ?? null;
  }
}

let right = 0; // how many more answers are as they should be
async function answered(headers) {
  const range = /^bytes=(\d+)-(\d*)$/.exec(headers.Range ?? "");
  const [start, end] = range ? [Number(range[1]), range[2] ? Number(range[2]) + 1 : DATA.length] : [0, DATA.length];
  const answer = {
    status: range ? 206 : 200,
    headers: new Lines({ "Content-Length": `${end - start}`, ETag: '"x"', "Content-Type": "application/octet-stream" }),
    type: pick(["basic", "cors"]),
    body: null,
  };
  if (range) answer.headers.set("Content-Range", `bytes ${start}-${end - 1}/${DATA.length}`);
  let bytes = DATA.slice(start, end);
  let breaks = false;
  if (right-- <= 0) {
    for (let change = random(4); change; change--) {
      const header = pick(HEADERS);
      const text = mutated(answer.headers.get(header) ?? pick(WORDS));
      if (random(4)) answer.headers.set(header, text.replace(/[^\t\x20-\x7e\xa1-\xff]/g, ""));
      else answer.headers.delete(header);
    }
    if (!random(3)) answer.status = pick(STATUSES);
    if (!random(4)) bytes = bytes.slice(random(3), random(bytes.length + 1));
    if (!random(8)) bytes = Uint8Array.from([...bytes, 1, 2, 3]);
    if (!random(8) && bytes.length) bytes[random(bytes.length)] ^= 1;
    if (!random(20)) throw new TypeError("Failed to fetch");
    breaks = !random(6);
    if (random(2)) right = random(4);
  }
  if (answer.status !== 204 && answer.status !== 304) answer.body = bodyOf(bytes, breaks);
  return answer;
}
globalThis.fetch = async (_, { headers = {} } = {}) => answered(headers);

const ends = { right: 0, refused: 0, other: 0, pinned: 0 };
const checkers = { memory: () => undefined, check: async (bytes) => ({ sha256: sum(bytes), bytes }) };
const ignore = () => {};

function demand(isRight, what) {
  if (!isRight) throw new Error(`after ${JSON.stringify(ends)}: ${what}`);
}

async function readOnce(hasSums) {
  const described = { url: "https://models.example/a/model.gguf?key=1", bytes: random(2) ? DATA.length : null };
  if (hasSums) Object.assign(described, { bytes: DATA.length, pieces: { bytes: PIECE, sha256: SUMS } });
  right = random(3);
  const context = {
    chunkBytes: PIECE,
    network: true,
    patience: new Patience(ignore, TIMES),
    tell: ignore,
    warn: ignore,
    checkers,
  };
  const all = [];
  try {
    for await (const { piece } of new Shard(described, context).pieces()) all.push(await piece);
  } catch (error) {
    demand(["model", "network"].includes(error.kind), error.stack);
    demand(/^[^\n]{20,600}\.$/.test(error.message) && !error.message.includes("key=1"), error.message);
    return "refused";
  }
  const isRight = Buffer.concat(all).equals(DATA);
  demand(isRight || !hasSums, "other bytes than the manifest's");
  return isRight ? "right" : "other"; // without sums, a server may send whatever it likes
}

const POINTER = `version https://git-lfs.github.com/spec/v1\noid sha256:${"c".repeat(64)}\nsize 2511866880\n`;
async function pinOnce() {
  globalThis.fetch = async () => ({
    ok: random(9) > 0,
    headers: new Lines(random(2) ? { "X-Repo-Commit": "a".repeat(39 + random(3)) } : {}),
    body: bodyOf(new TextEncoder().encode(mutated(POINTER)), !random(9)),
  });
  const found = await pinned("https://hub.example/o/r/resolve/main/model.gguf");
  demand(found.sha256 === null || /^[0-9a-f]{64}$/.test(found.sha256), found.sha256);
  demand(found.bytes === null || Number.isSafeInteger(found.bytes), found.bytes);
  demand(/\/resolve\/(main|a{40})\/model.gguf$/.test(found.url), found.url);
}

const { fetch } = globalThis;
for (let i = 0; i < count; i++) {
  if (i % 10) ends[await readOnce(i % 2 === 1)]++;
  else {
    await pinOnce();
    globalThis.fetch = fetch;
    ends.pinned++;
  }
}
console.log(JSON.stringify(ends));
