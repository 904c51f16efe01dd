// Opening a model, and opening it again when the GPU or the engine's Worker went away.

import { remember } from "../remembered.js";
import { demoIsOpen } from "./demo.js";
import { engine } from "./engine.js";
import { askToPersist, showKept } from "./kept.js";
import { stopListening } from "./listening.js";
import { softwareWarning } from "./machine.js";
import * as progress from "./progress.js";
import { allows, enter, fail, state } from "./state.js";
import * as view from "./view.js";
import { firstStep, measureSpeed } from "./welcome.js";
import { ofEngine, reason, size, wording } from "./words.js";

export const SELF_TEST = { label: wording("model.self_test"), model: null, tokenizer: null };
export const DEMO = { ...SELF_TEST, demo: true }; // opened by the page itself: it only shows what the page does

// Resolves with true once the model is open. request: {label, model, tokenizer, variants}, the last three as the Worker
// takes them; variants, from a link, replace those that the engine would choose. quiet: keep the error that is on show.
// reopened: the engine went away, and this is the model that was open. network: whether it may be used. again: the engine
// fell silent while it opened.
export async function openModel(request, { quiet = false, reopened = false, network = true, again = false } = {}) {
  if (!allows("openModel")) return;
  if (request.model?.url || request.model?.keep) askToPersist();
  const former = state.phase === "opening" ? state.model : null;
  // reopened stays true until something was transcribed; answer: a promise of the answer to `open`, once it is called;
  // kept: the model's key in the store, if all of it is there; title, name: of the model that is open, without and with its
  // size.
  const model = { request, reopened, answer: null, kept: null, title: null, name: null };
  enter("opening", { model });
  if (former) {
    view.status(wording("status.stopping"));
    await engine.abandon("cancel");
    await former.answer?.catch(() => {});
    downloadEnded();
    if (state.model !== model) return; // yet another one was chosen
  }
  if (!quiet) view.error(null);
  view.model(wording("model.loading", { name: request.label }));
  view.state(
    "loading",
    engine.isStarting || !engine.isRunning
      ? wording("status.starting_engine")
      : wording("status.loading", { name: request.label }),
  );
  view.progress("");
  state.job?.sayThatItWaits();
  if (state.stopping) return openingStopped(reopened ? request : null);
  const { model: weights, tokenizer, variants = null } = request;
  model.answer = engine.open({ model: weights, tokenizer, variants, network });
  let opened;
  try {
    opened = await model.answer;
  } catch (error) {
    if (state.model !== model) return;
    downloadEnded();
    if (error.kind === "aborted") return openingStopped(reopened ? request : null);
    enter("closed", { model: null });
    if (error.kind === "silent" && !again) {
      view.error(wording("opening.again", { reason: reason(error) }));
      return openModel(request, { quiet: true, reopened, network, again: true });
    }
    view.model(wording("model.none"));
    const why = reason(error);
    const sentence = state.job ? wording("opening.failed_waiting", { reason: why, name: state.job.title }) : why;
    fail(sentence, () => openModel(request), wording("opening.failed", { name: request.label }));
    return stopListening(); // no model will read it
  }
  if (state.model !== model) return;
  downloadEnded();
  const { kept = null, name: title, model_bytes: bytes } = opened;
  Object.assign(model, { kept, title, name: `${title}, ${bytes} bytes` });
  enter(request.demo ? "demo" : "ready");
  describe(request, opened);
  if (!request.demo) {
    state.job?.run();
  } else {
    state.job?.sayThatItWaits();
    demoIsOpen();
    measureSpeed();
  }
  return true;
}

// For what the user presses, perhaps far below: the view and the focus go to where one works.
export function chooseModel(request) {
  const opened = openModel(request);
  if (state.phase === "opening") view.goToWork();
  return opened;
}

function describe(request, opened) {
  if (opened.kept) remember("model", opened.kept); // the next visit opens it
  view.progress(null);
  view.defaults(opened.default_delay_ms, opened.left_silence_tokens);
  const warning = opened.gpu?.software
    ? softwareWarning(opened.gpu.description || opened.gpu.device)
    : ofEngine(opened.warning);
  if (warning) view.warning(warning);
  if (request.model) {
    view.model(wording("model.open", { name: opened.name, size: size(opened.model_bytes) }));
  } else if (request.demo) {
    view.model(wording("model.none_for_speech"));
  } else {
    view.model(wording("model.self_test_open"), wording("transcript.self_test"));
  }
  sayReady();
}

// Says in the status that a model is open, and nothing is being done.
export function sayReady() {
  const { request, title } = state.model;
  if (request.demo) view.state("ready", firstStep());
  else if (request.model) view.state("ready", wording("status.ready", { name: title }));
  else view.state("ready", wording("status.ready_self_test"));
}

// The user has stopped it. lost: what opens the model again that was open before, whose loss is an error; or null: nothing is
// wrong, and the page offers to get a model.
function openingStopped(lost) {
  enter("closed", { model: null, hadModel: Boolean(lost) });
  view.model(wording("model.none"));
  state.job?.putAside();
  if (lost) return fail(wording("opening.stopped"), () => openModel(lost));
  view.error(null);
  view.progress(null);
  view.note(null);
  view.state("ready", wording("opening.stopped"));
}

engine.on("progress", (message) => {
  if (state.phase === "opening") progress.ofOpening(state.model.request.label, message);
});

engine.on("quiet", (quiet) => {
  // The demo's own note says that this takes some seconds.
  if (quiet && state.phase === "opening" && state.model.request.demo) return;
  if (quiet) return view.note(wording("engine.quiet"));
  view.note(null);
  if (state.phase !== "transcribing") state.job?.sayThatItWaits();
});

function downloadEnded() {
  progress.openingEnded();
  view.download(null);
  view.pause(null);
  showKept();
}

engine.on("network", ({ tell, warn, downloading }) => {
  if (warn) view.notKept(ofEngine(warn));
  if (state.phase !== "opening") return;
  if (tell !== undefined) {
    view.download(ofEngine(tell));
    progress.ofWaiting(state.model.request.label, tell !== null);
  }
  if (downloading) offerPause(false);
});

function offerPause(paused) {
  progress.forgetRate();
  view.pause(paused ? wording("download.go_on") : wording("download.pause"), () => {
    engine.call("pause", { paused: !paused });
    offerPause(!paused);
  });
}

// The engine went away: opens the model again that was open. message: why; next: what happens then, for the user.
export function openAgain(message, next) {
  const { request, kept } = state.model;
  // Without a question, nothing is downloaded again.
  if (request.model?.url && !kept) {
    return closed(request, wording("opening.not_kept", { reason: message }));
  }
  enter("closed", { model: null });
  view.error(wording("opening.next", { reason: message, next }));
  return openModel(request, { quiet: true, reopened: true, network: !kept });
}

function closed(request, sentence) {
  enter("closed", { model: null });
  view.model(wording("model.none"));
  fail(sentence, () => openModel(request), wording("status.closed"));
  state.job?.sayThatItWaits();
}

engine.on("gone", (error) => {
  if (!["ready", "demo"].includes(state.phase)) return; // openModel, Job.run or bench awaits an answer and gets the error
  const { request, reopened } = state.model;
  if (reopened) return closed(request, wording("opening.twice", { reason: reason(error) }));
  openAgain(reason(error), wording("opening.reopened"));
});
