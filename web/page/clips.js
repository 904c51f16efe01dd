// The recordings that come with the page, and what is spoken in them.

import { openAudio } from "../audio/file.js";

// The first `count`, as [{file, reference, text, ends, samples}]: what is spoken, what the self-test model writes, and the
// second in which each of its words ends. clips.json has more.
export async function bundledClips(count = Infinity) {
  const { clip } = await (await fetch("site.json")).json();
  const folder = new URL(".", new URL(clip, document.baseURI));
  const clips = (await (await fetch(new URL("clips.json", folder))).json()).slice(0, count);
  for (const each of clips) {
    const audio = await openAudio(await (await fetch(new URL(each.file, folder))).blob(), each.file);
    each.samples = await samplesOf(audio);
  }
  return clips;
}

// All of it at once.
export async function samplesOf(audio) {
  const blocks = [];
  for await (const samples of audio.blocks()) blocks.push(samples);
  return new Float32Array(await new Blob(blocks).arrayBuffer());
}
