// ?bench=1 in the page's address: the open model measured on this machine, as `voxtab bench` does it.

import { openAudio } from "../audio/file.js";
import { measure } from "./transcription.js";
import * as view from "./view.js";

const NAME = "bench.json";

// source: audio to measure with, or null for the site's own clip, repeated. The figures are shown where text is.
export async function bench(source) {
  const figures = await measure(source ?? (await bundledClip()), !source, NAME);
  if (!figures) return;
  window.voxtab.result = { ...figures, browser: navigator.userAgent };
  view.append(JSON.stringify(window.voxtab.result, null, 1));
  view.finished({ name: NAME });
  view.state("done", "Measured: copy the figures below.");
}

async function bundledClip() {
  const { clip } = await (await fetch("site.json")).json();
  const url = new URL(clip, document.baseURI);
  return openAudio(await (await fetch(url)).blob(), url.pathname.split("/").pop());
}
