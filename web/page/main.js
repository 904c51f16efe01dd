// The page: what the user drops, chooses or presses. What a link asks for is in link.js.

import { openAudio } from "../audio/file.js";
import { see, showRecordings } from "./demo.js";
import { engine } from "./engine.js";
import { isFolder, sortFiles } from "./files.js";
import { showKept } from "./kept.js";
import { followLink, modelAt } from "./link.js";
import { speak, stopListening } from "./listening.js";
import { checkMachine } from "./machine.js";
import { openModel, SELF_TEST } from "./opening.js";
import { allows, enter, fail, isListening, state, stopVerb } from "./state.js";
import { audioFailed, hasUnsavedWords, transcribe } from "./transcribing.js";
import * as view from "./view.js";
import { showMachine } from "./welcome.js";

// For programs that drive the page: the command line's JSON of the last transcription that finished, and its token ids.
window.voxtab = { result: null, tokens: null };

const chosen = { model: [], tokenizer: null }; // files of a model that is not complete yet

async function transcribeFile(file) {
  if (!allows("takeAudio")) return;
  view.error(null);
  if (state.phase !== "opening") view.state("loading", `Reading ${file.name}…`);
  try {
    transcribe(await openAudio(file, file.name));
  } catch (error) {
    audioFailed(error);
  }
}

function takeFiles(files) {
  try {
    const { audio, model, tokenizer } = sortFiles(files);
    if (audio) return transcribeFile(audio);
    // The model and its tokenizer may come one after the other.
    if (model.length) chosen.model = model;
    if (tokenizer) chosen.tokenizer = tokenizer;
    const [first] = chosen.model;
    if (!first)
      return view.error("You have chosen tekken.json: now choose the model too, a .gguf file or all its shards.");
    if (!chosen.tokenizer) return view.error(`You have chosen ${first.name}: now choose its tekken.json too.`);
    const label = chosen.model.length > 1 ? `${chosen.model.length} shards` : first.name;
    const keep = view.keepsFiles();
    openModel({ label, model: { files: chosen.model, keep }, tokenizer: { file: chosen.tokenizer } });
    Object.assign(chosen, { model: [], tokenizer: null }); // another model has another tokenizer
  } catch (error) {
    view.error(error.message);
  }
}

// The Stop button first ends the recording. If it is pressed again, it stops what the engine is doing.
async function stop() {
  if (isListening()) return stopListening();
  const verb = stopVerb();
  if (!verb) return;
  state.stopping = true;
  view.status("Stopping…");
  await engine.abandon(verb);
}

function connect() {
  /** @type {(id: string) => any} */
  const element = (id) => document.getElementById(id);
  const on = (id, event, handler) => element(id).addEventListener(event, handler);
  on("speak", "click", () => speak(transcribe));
  on("stop", "click", stop);
  on("see", "click", see);
  on("self-test", "click", () => openModel(SELF_TEST));
  for (const id of ["audio-file", "model-files"]) {
    on(id, "change", ({ target }) => {
      const files = [...target.files];
      target.value = ""; // so that the same file can be chosen again
      if (id === "audio-file") transcribeFile(files[0]);
      else takeFiles(files);
    });
  }
  on("address", "submit", (event) => {
    event.preventDefault();
    const tokenizer = element("tokenizer-url").value;
    openModel(modelAt(new URL(element("model-url").value), tokenizer ? new URL(tokenizer) : null));
  });
  const nameHost = () => {
    const { value } = element("model-url");
    const host = URL.canParse?.(value) ? new URL(value).host : null;
    element("host").textContent = host ? `When you press the button, the model is fetched from ${host}.` : "";
  };
  on("model-url", "input", nameHost);
  nameHost();

  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) document.body.classList.remove("dropping");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    if ([...event.dataTransfer.items].some(isFolder))
      return view.error("That is a folder: drop the files inside it instead.");
    takeFiles([...event.dataTransfer.files]);
  });
  addEventListener("beforeunload", (event) => {
    if (hasUnsavedWords()) event.preventDefault();
  });
}

// This machine cannot run the engine; the sentence says why.
function giveUp(sentence) {
  engine.close();
  enter("impossible", { impossible: sentence });
  view.model("None: this browser cannot run one.");
  fail(sentence, null, "This browser cannot run Voxtab as it is.");
}

connect();
showKept((request) => openModel(request));
view.state("loading", "Looking for a GPU…");
if (navigator.gpu) engine.start(); // Python starts meanwhile
checkMachine()
  .then((machine) => {
    const { stop, warning } = machine;
    showMachine(machine);
    view.warning(warning);
    showRecordings();
    if (stop) giveUp(stop);
    else return followLink(new URLSearchParams(location.search));
  })
  .catch((error) => fail(`This page is broken (${error.message}): reload it, and report it if it happens again.`));
