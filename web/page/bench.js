// ?bench=1 in the page's address: measures the open model on this machine, as `voxtab bench` does.

import { openAudio } from "../audio/file.js";
import { samplesOf } from "./clips.js";
import { engine } from "./engine.js";
import { allows, enter, show, state } from "./state.js";
import { settle, throwIfStopping } from "./transcribing.js";
import { Transcript } from "./transcript.js";
import * as view from "./view.js";
import { wording } from "./words.js";

const NAME = "bench.json";

// audio: what to measure with, or null for the site's own clip, repeated. The figures are shown where text is.
export async function bench(audio) {
  const repeat = !audio;
  audio ??= await bundledClip();
  if (!allows("takeAudio") || state.phase !== "ready") return; // the user has done something else meanwhile
  const transcript = new Transcript();
  show({ name: NAME, recording: null, unfinished: false, session: null, transcript });
  enter("measuring");
  view.state("transcribing", wording("bench.measuring"));
  let failure = null;
  try {
    const samples = await samplesOf(audio);
    throwIfStopping();
    const figures = await engine.call("bench", { samples, audio: audio.name, repeat }, [samples.buffer]);
    window.voxtab.result = { ...figures, browser: navigator.userAgent };
    view.append(transcript, JSON.stringify(window.voxtab.result, null, 1));
    view.finished({ name: NAME });
    view.state("done", wording("bench.measured"));
  } catch (error) {
    failure = error;
  }
  await settle(failure);
}

async function bundledClip() {
  const { clip } = await (await fetch("site.json")).json();
  const url = new URL(clip, document.baseURI);
  return openAudio(await (await fetch(url)).blob(), url.pathname.split("/").pop());
}
