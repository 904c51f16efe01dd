// The page: what the user drops, chooses or presses. What a link asks for is in link.js.

import { lastName } from "./address.js";
import "./captions.js";
import { addressOf, known } from "./catalogue.js";
import { see, showRecordings, willReplay } from "./demo.js";
import "./check.js";
import { engine } from "./engine.js";
import { ACCEPTED, chosenFiles, droppedFiles, hasWeights, sortFiles } from "./files.js";
import { showKept } from "./kept.js";
import { connectKeys } from "./keys.js";
import "./languages.js";
import { copyLink, followLink, modelAt } from "./link.js";
import { speak, stopListening } from "./listening.js";
import { checkMachine } from "./machine.js";
import { prepare } from "./offline.js";
import { chooseModel, SELF_TEST } from "./opening.js";
import { connectQueue, enqueue } from "./queue.js";
import { showSessions } from "./sessions.js";
import { showSources } from "./sources.js";
import { enter, fail, isListening, isSelfTest, onPhase, state, stopVerb } from "./state.js";
import { hasUnsavedWords, removed, renamed, rewritten, show, transcribe } from "./transcribing.js";
import * as view from "./view.js";
import { showMachine } from "./welcome.js";
import { facts, list, reason, wording } from "./words.js";

// For programs that drive the page: the command line's JSON of the last transcription that finished, and its token ids.
window.voxtab = { result: null, tokens: null };

const NAMED = 3; // files that are left out, at most: the others are counted
const chosen = { model: [], tokenizer: null }; // files of a model that did not open: one may be missing

// files: [{file, name}].
function takeFiles(files) {
  try {
    const { audio, model, tokenizer, others } = sortFiles(files);
    if (audio.length) enqueue(audio, leftOut(others));
    else if (others.length && !model.length && !tokenizer) view.error(leftOut(others));
    if (model.length || tokenizer) takeModel(model, tokenizer);
  } catch (error) {
    view.error(reason(error));
  }
}

// A sentence about files that are neither audio nor a model's, or null.
function leftOut(names) {
  if (!names.length) return null;
  const some = names.slice(0, NAMED);
  return wording("files.left_out", { count: names.length, names: facts([...some, names.length > NAMED && "…"]) });
}

// What belongs to a model may come one after the other. Other weights are another model.
async function takeModel(model, tokenizer) {
  if (!model.some(hasWeights))
    model = [...chosen.model.filter(({ name }) => !model.some((f) => f.name === name)), ...model];
  else if (chosen.model.some(hasWeights)) chosen.tokenizer = null;
  Object.assign(chosen, { model, tokenizer: tokenizer ?? chosen.tokenizer });
  const weights = model.filter(hasWeights);
  if (!weights.length) {
    const names = [...model, chosen.tokenizer].filter(Boolean).map(({ name }) => name);
    return view.error(wording("files.choose_weights", { names: list(names) }));
  }
  const request = {
    label: weights.length > 1 ? wording("files.count", { count: weights.length }) : weights[0].name,
    model: { files: model, keep: view.keepsFiles() },
    tokenizer: chosen.tokenizer && { file: chosen.tokenizer },
  };
  if ((await chooseModel(request)) && chosen.model === model) Object.assign(chosen, { model: [], tokenizer: null });
}

// The Stop button first ends the recording. If it is pressed again, it stops what the engine is doing.
async function stop() {
  if (isListening()) return stopListening();
  const verb = stopVerb();
  if (!verb) return;
  state.stopping = true;
  state.job?.audio.close?.(); // a file, whose decoder may be busy
  view.status(wording("status.stopping"));
  await engine.abandon(verb);
}

function connect() {
  /** @type {(id: string) => any} */
  const element = (id) => document.getElementById(id);
  const on = (id, event, handler) => element(id).addEventListener(event, handler);
  on("speak", "click", () => speak(transcribe));
  on("stop", "click", stop);
  on("see", "click", () => see(stop));
  on("copy-link", "click", copyLink);
  on("self-test", "click", () => chooseModel(SELF_TEST));
  onPhase(() => {
    element("self-test").disabled = isSelfTest();
  });
  for (const id of ["audio-file", "audio-folder", "model-files"]) {
    on(id, "change", ({ target }) => {
      const files = chosenFiles(target.files);
      target.value = ""; // so that the same file can be chosen again
      // What was chosen as audio is audio, whatever its name.
      if (id === "audio-file") enqueue(files.map(({ file, name }) => ({ name, source: file })));
      else takeFiles(files);
    });
  }
  for (const id of ["audio-file", "hear-file"]) element(id).accept = ACCEPTED;
  on("audio-address", "submit", (event) => {
    event.preventDefault();
    const source = new URL(element("audio-url").value);
    enqueue([{ name: lastName(source) || source.host, source }]);
    element("audio-url").value = "";
  });
  on("address", "submit", (event) => {
    event.preventDefault();
    const tokenizer = element("tokenizer-url").value;
    chooseModel(modelAt(new URL(element("model-url").value), tokenizer ? new URL(tokenizer) : null));
  });
  const nameHost = () => {
    const { value } = element("model-url");
    const host = URL.canParse?.(value) ? new URL(value).host : null;
    element("host").textContent = host ? wording("models.host", { host }) : "";
  };
  on("model-url", "input", nameHost);
  known.then(([first]) => {
    // Whoever is about to write one goes on in a field that stays as it was.
    if (document.activeElement !== element("model-url")) element("model-url").defaultValue = addressOf(first);
    nameHost();
  });

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
    droppedFiles(event.dataTransfer)
      .then(takeFiles)
      .catch(() => view.error(wording("files.unreadable")));
  });
  addEventListener("beforeunload", (event) => {
    if (hasUnsavedWords()) event.preventDefault();
  });
}

// This machine cannot run the engine; the sentence says why.
function giveUp(sentence) {
  engine.close();
  enter("impossible", { impossible: sentence });
  willReplay();
  view.model(wording("model.impossible"));
  fail(sentence, null, wording("status.impossible"));
}

connect();
connectQueue(stop);
connectKeys({ speak: () => speak(transcribe), stop });
showSources();
showKept((request) => chooseModel(request));
showSessions({ transcribe, show, removed, renamed, rewritten });
view.state("loading", wording("status.gpu"));
prepare(() => navigator.gpu && engine.start()); // Python starts meanwhile, if it is in this browser
checkMachine()
  .then((machine) => {
    const { stop, warning } = machine;
    showMachine(machine);
    view.warning(warning);
    showRecordings();
    if (stop) giveUp(stop);
    else return followLink(new URLSearchParams(location.search));
  })
  .catch((error) => fail(wording("page.broken", { reason: reason(error) })));
