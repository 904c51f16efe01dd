// A Worker that speaks the page's protocol and does what a test says; `script` comes before this file.
// script: {verb: [what happens at its first call, at its second, ...]}; the last entry repeats; {} is the usual answer.
// An entry may have events (posted first), result or error (the answer), after (ms before it), silent (no answer),
// crash. script.boots: false: Python never starts; script.dies: the verb after which it does nothing any more. The
// message {verb: "die"} has the same effect.

const MODEL = {
  name: "voxtral-q4.gguf",
  dialect: "Mistral",
  vocabulary: 131072,
  default_delay_ms: 480,
  left_silence_tokens: 32,
  gpu: { vendor: "acme", device: "", description: "Acme 9000", software: false },
  model_bytes: 2511866880,
  gpu_bytes: 2600000000,
};
const RESULT = {
  text: " Hello tab. It works.",
  audio_seconds: 1.5,
  delay_ms: 480,
  model: "voxtral-q4.gguf",
  words: [
    { text: "Hello", start: 0.1, end: 0.4 },
    { text: "tab.", start: 0.5, end: 0.8 },
    { text: "It", start: 2.5, end: 2.6 },
    { text: "works.", start: 2.7, end: 3661.25 },
  ],
  timings: { load_s: 1, run_s: 1, rtf: 0.5, step_ms: { median: 5, p99: 9 } },
};
const USUAL = {
  open: {
    events: [
      { event: "progress", stage: "device", done: 0, total: 0 },
      { event: "progress", stage: "weights", done: 2511866880, total: 2511866880 },
    ],
    result: MODEL,
  },
  predict: { result: { rtf: 0.25, live_step_ms: 20 } },
  finish: {
    events: [
      { event: "text", text: " Hello tab.", tokens: [33, 1001], audio_seconds: 0.8 },
      { event: "text", text: " It works.", tokens: [33, 1002], audio_seconds: 1.5 },
    ],
    result: {
      result: RESULT,
      tokens: [1, 32, 33],
      subtitles: { srt: "1\n00:00:00,100 --> …", vtt: "WEBVTT\n\n00:00:00.100 --> …", tsv: "start\tend\ttext\n" },
    },
  },
};

const calls = {};
const waiting = new Map(); // verb -> id of a call without an answer
let fed = 0;
let dead = false;

if (script.boots !== false) postMessage({ event: "progress", stage: "python", done: 1, total: 1 });

self.onmessage = async ({ data }) => {
  const { id, verb } = data;
  dead ||= verb === "die";
  if (dead) return;
  if (verb === "live") return postMessage({ event: "live" });
  const entries = script[verb] ?? [];
  const given = entries[Math.min(calls[verb] ?? 0, entries.length - 1)] ?? {};
  const entry = given.error || given.silent || given.crash ? given : { ...USUAL[verb], ...given };
  calls[verb] = (calls[verb] ?? 0) + 1;
  const { samples, ...plain } = data;
  if (samples) {
    fed += samples.length;
    postMessage({
      event: "fake-fed",
      id,
      fed,
      first: Array.from(samples.slice(0, 8)),
      loudest: samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0),
    });
  } else {
    postMessage({ event: "fake-call", call: JSON.parse(JSON.stringify(plain)) });
  }
  if (verb === "start") fed = 0;
  dead = verb === script.dies;
  if (dead) return;
  for (const event of entry.events ?? []) postMessage(event);
  if (entry.after) await new Promise((resolve) => setTimeout(resolve, entry.after));
  if (entry.crash)
    setTimeout(() => {
      throw new Error("out of memory");
    });
  for (const ended of { stop: ["feed", "finish", "bench", "check"], cancel: ["open"] }[verb] ?? []) {
    if (!waiting.has(ended) || entry.silent) continue;
    postMessage({ id: waiting.get(ended), error: { kind: "aborted", message: "This was stopped." } });
    waiting.delete(ended);
  }
  if (entry.silent || entry.crash) waiting.set(verb, id);
  else if (entry.error) postMessage({ id, error: entry.error });
  else postMessage({ id, result: entry.result ?? {} });
};
