// What a page in TypeScript writes. tools/check_style compiles it with web/voxtab.d.ts; each line after an expected error is
// one that must not compile.

import { Failure, type Result, Voxtab, type Word } from "../../web/voxtab.js";

const stop = new AbortController();
const voxtab: Voxtab = await Voxtab.open({
  model: new URL("https://example.org/model.gguf"),
  signal: stop.signal,
  onProgress: ({ stage, done, total, message }) => console.log(stage === "network" ? message : done / total),
});
const gigabytes: number = voxtab.model.bytes / 1e9;
voxtab.addEventListener("lost", ({ detail }) => console.log(detail.kind === "silent", detail.message));

async function* heard() {
  yield { samples: new Float32Array(4800), rate: 48000 };
  yield new Float32Array(1280);
}
const transcription = voxtab.transcribe(heard(), { delayMs: 480, alternatives: 4, signal: stop.signal });
transcription.addEventListener("word", ({ detail }) => console.log(detail.text));
for await (const word of transcription) console.log(word.start, word.confidence?.toFixed(2), gigabytes);
try {
  const result: Result = await transcription.result;
  const last: Word | undefined = result.words.at(-1);
  console.log(last?.end, result.subtitles.vtt);
} catch (error) {
  if (error instanceof Failure && error.kind === "aborted") console.log("Stopped.");
}

const stream: MediaStream = await navigator.mediaDevices.getUserMedia({ audio: true });
for (const { kept, name } of await Voxtab.kept()) if (name === "old.gguf") await Voxtab.remove(kept);
console.log((await voxtab.transcribe(stream).finish()).text, (await voxtab.transcribe(new Blob([])).result).text);

// @ts-expect-error: a model is needed
await Voxtab.open({ delayMs: 480 });
// @ts-expect-error: only open makes one
new Voxtab();
// @ts-expect-error: 16-bit samples must be divided by 32768 first
voxtab.transcribe(new Int16Array(1280));
// @ts-expect-error: there is no such event
voxtab.addEventListener("found", ({ detail }) => detail);
