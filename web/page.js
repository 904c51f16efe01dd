// The page: a model is opened, audio from a file or the microphone goes in, text comes out.
// One thing at a time: `opening` a model, or `running` a transcription.

import { openAudio } from "./audio.js";
import { checkMachine, softwareWarning } from "./check.js";
import { isFolder, sortFiles } from "./files.js";
import { Microphone } from "./microphone.js";
import { EngineError, Session } from "./session.js";
import * as view from "./view.js";

const AHEAD_SECONDS = 60;           // of a file that is fed before its text: an hour of audio need not lie in memory
const STOP_MS = 3000;               // after which a Worker that does not stop is ended
const LATE_SECONDS = 3;             // behind a speaker, from which on it is worth a word
const SELF_TEST = { label: "the self-test model", model: null, tokenizer: null, selfTest: true };

let session = null;
let opening = null;                 // {wanted, ended: a promise}
let loaded = null;                  // {wanted, info}: the open model
let running = null;                 // {source, stopped, covered, lag}
let last = null;                    // the transcription before: {name, recording, unfinished}
let microphone = null;              // while it listens
let asking = false;                 // for the microphone
let waiting = null;                 // a source that is transcribed when the model is there
let givenTokenizer = null;          // files that wait for the rest of the model
let givenModel = [];
let impossible = null;              // why this machine cannot do it

window.voxtab = { result: null };

// --- the engine

function engine() {
  if (session) return session;
  const made = session = new Session();
  made.addEventListener("progress", ({ detail }) => showProgress(detail));
  made.addEventListener("text", ({ detail }) => {
    view.append(detail.text);
    follow(detail.lag_seconds, detail.audio_seconds);
  });
  made.addEventListener("lag", ({ detail }) => follow(detail.seconds, detail.audio_seconds));
  made.addEventListener("lost", ({ detail }) => gone(new EngineError("lost", detail.message)));
  made.addEventListener("crash", ({ detail }) => {
    session = null;
    gone(detail);
  });
  return made;
}

// The device or the Worker went away. Who is waiting for it gets the error; else the model is opened again here.
function gone(error) {
  if (opening || running || !loaded) return;
  const { wanted } = loaded;
  loaded = null;
  view.error(`${error.message} The model is opened again.`);
  openModel(wanted, { quiet: true });
}

const bytes = { since: 0, stage: null };

function showProgress({ stage, done, total }) {
  if (!opening) return;
  if (stage !== bytes.stage) Object.assign(bytes, { stage, since: performance.now() });
  const { label } = opening.wanted;
  view.status({
    python: "Starting the engine…", device: "Opening the GPU…", tokenizer: "Reading the tokenizer…",
    weights: `Loading ${label}…`, kernels: "Preparing the GPU's programs…",
  }[stage] ?? "Loading…");
  const seconds = (performance.now() - bytes.since) / 1000;
  const counted = ["weights", "tokenizer"].includes(stage);
  let amount = counted ? view.size(done) + (total ? ` of ${view.size(total)}` : "") : "";
  if (counted && total > done && seconds > 2) {
    const left = seconds * (total - done) / done;
    amount += `, ${left < 90 ? `${Math.ceil(left)} s` : `${Math.ceil(left / 60)} min`} left`;
  }
  view.progress(amount, done, counted ? total : 0);
}

// --- opening a model

// wanted: {label, model, tokenizer} as the protocol has them. Returns whether the model is open.
// quiet: an error that is on show stays until something else goes wrong.
async function openModel(wanted, { quiet = false } = {}) {
  if (impossible) return fail(impossible);
  if (running) {
    view.error("A transcription is under way: stop it first, then choose another model.");
    return false;
  }
  if (opening) await cancelOpening();
  if (!quiet) view.error(null);
  loaded = null;
  const mine = opening = { wanted };
  view.model(`Loading ${wanted.label}.`);
  view.state("loading", `Loading ${wanted.label}…`);
  view.progress("");
  controls();
  mine.ended = engine().call("open", { model: wanted.model, tokenizer: wanted.tokenizer, check: true, variants: null });
  let info;
  try {
    info = await mine.ended;
  } catch (error) {
    if (opening !== mine) return false;         // another one was chosen meanwhile
    opening = null;
    view.model("None.");
    if (error.kind === "crash") session = null;
    const stopped = error.kind === "aborted";
    return fail(stopped ? "Loading was stopped." : error.message, () => openModel(wanted),
      stopped ? "No model: choose one." : `Could not open ${wanted.label}.`);
  }
  opening = null;
  loaded = { wanted, info };
  view.progress(null);
  view.defaults(info.default_delay_ms, info.left_silence_tokens);
  view.model(wanted.selfTest
    ? "The self-test model (letters, digits, dates, commands) is open. For real speech open Voxtral Mini 4B."
    : `${info.name}, ${view.size(info.model_bytes)}.`);
  if (info.adapter?.software) view.warning(softwareWarning(info.adapter.description));
  view.state("ready", wanted.selfTest ? "Ready, with the self-test model: say letters, digits, dates or commands." : `Ready, with ${info.name}.`);
  controls();
  if (waiting) {
    const source = waiting;
    waiting = null;
    transcribe(source);
  }
  return true;
}

async function cancelOpening() {
  const { ended } = opening;
  const mine = session;
  mine.call("cancel");
  view.status("Stopping…");
  const late = Symbol();
  if (await Promise.race([ended.catch(() => {}), after(STOP_MS, late)]) === late && session === mine) endSession();
}

function endSession() {
  const ended = session;
  session = null;
  ended?.close();
}

function after(ms, value) {
  return new Promise((resolve) => { setTimeout(resolve, ms, value); });
}

// A sentence about what went wrong; the page stays usable. Returns false.
function fail(sentence, retry = null, status = "Something went wrong: see below.") {
  view.progress(null);
  view.lag(null);
  view.error(sentence, retry);
  view.state("error", status);
  controls();
  return false;
}

function controls() {
  const listening = microphone?.recording.live;
  view.controls({
    speak: loaded && !running && !asking && !opening,
    busy: Boolean(running),
    stop: listening ? "Stop and finish" : running || opening ? "Stop" : null,
  });
}

// --- transcribing

// source: {name, live, blocks()}; an audio file, or a recording that may still grow. attempt: 1 when this is the
// second time, because the GPU or the Worker went away.
async function transcribe(source, attempt = 0) {
  if (running) return;
  if (impossible) return fail(impossible);
  if (!loaded) {
    waiting = source;
    if (opening) view.lag(`${source.name} is transcribed as soon as the model is open.`);
    else view.error("There is no model yet: choose one first.");
    return;
  }
  const run = running = { source, stopped: false, covered: 0, lag: 0 };
  const recording = source.wav ? source : null;
  const model = loaded.wanted;
  if (attempt === 0) view.error(null);
  view.offer(null);
  view.lag(null);
  view.begin(last);
  window.voxtab.result = null;
  last = { name: source.name, recording, unfinished: true };
  view.state("transcribing", source.live ? "Listening: speak." : `Transcribing ${source.name}…`);
  controls();
  try {
    const result = await stream(run);
    last.unfinished = false;
    window.voxtab.result = result;
    view.text(result.text);
    running = null;
    view.state("done", view.text().trim() ? `Done: ${view.seconds(result.audio_seconds)} of audio.`
      : "Done: no speech was recognised in this audio.");
    end({ words: result.words });
  } catch (error) {
    running = null;
    const gone = error.kind === "lost" || error.kind === "crash";
    if (error.kind === "crash") session = null;
    if (gone) loaded = null;
    if (gone && attempt === 0) {
      view.error(`${error.message} The text so far is kept below, and the audio is transcribed again from its start.`);
      end({});
      if (await openModel(model, { quiet: true })) transcribe(source, 1);
      else stopListening();
      return;
    }
    await stopListening();
    if (error.kind === "aborted") {
      view.state("ready", "Stopped. The text so far is kept.");
    } else {
      const kept = recording ? " The recording is kept: it can be saved, or transcribed again." : "";
      fail(error.message + kept, gone ? () => openModel(model) : null, "The transcription did not finish.");
    }
    end({});
  }

  function end({ words = null }) {
    view.progress(null);
    view.lag(null);
    view.finished({ name: source.name, words, recording, again: () => transcribe(source) });
    controls();
  }
}

// Feeds the audio; the result when all text is out.
async function stream(run) {
  const mine = session;
  await mine.call("start", view.settings());
  for await (const samples of run.source.blocks()) {
    if (run.stopped) throw new EngineError("aborted", "Stopped.");
    await mine.call("feed", { samples }, [samples.buffer]);
    while (run.lag > AHEAD_SECONDS && !run.source.live && !run.stopped && session === mine) await after(100);
  }
  if (run.stopped) throw new EngineError("aborted", "Stopped.");
  if (run.source.wav) view.status("Writing the last words…");
  return mine.call("finish");
}

// How far the text has come.
function follow(lag, covered) {
  if (!running) return;
  running.lag = lag;
  running.covered = covered ?? running.covered;
  const { source } = running;
  if (source.wav) {
    const behind = lag > LATE_SECONDS;
    view.lag(behind ? `The text is ${Math.round(lag)} s behind. Nothing is lost: it goes on after you stop.` : null);
  } else {
    view.progress(`${view.clock(running.covered)} of ${view.clock(source.seconds)}`, running.covered, source.seconds);
  }
}

async function stop() {
  waiting = null;
  if (microphone?.recording.live) return stopListening();
  if (opening) return cancelOpening();
  if (!running) return;
  const run = running;
  run.stopped = true;
  view.status("Stopping…");
  const mine = session;
  const late = Symbol();
  if (await Promise.race([mine.call("stop").catch(() => {}), after(STOP_MS, late)]) !== late || session !== mine) return;
  // It hangs. The model goes with it, and is opened again.
  const { wanted } = loaded;
  loaded = null;
  endSession();
  await after(0);
  openModel(wanted);
}

// --- microphone

async function speak() {
  if (asking || running || !loaded) return;
  asking = true;
  view.error(null);
  view.status("Asking for the microphone: the browser wants your permission…");
  controls();
  try {
    microphone = await Microphone.open({
      onlevel: (peak) => view.level(microphone?.recording.seconds ?? 0, peak),
      onlost: () => {
        view.error("The microphone was taken away. What was said until then is transcribed.");
        stopListening();
      },
    });
  } catch (error) {
    asking = false;
    fail(error.message, null, "The microphone is not on.");
    return;
  }
  asking = false;
  view.level(0);
  if (!loaded) await stopListening();           // it went away while the browser asked
  transcribe(microphone.recording);
}

async function stopListening() {
  if (!microphone?.recording.live) return;
  await microphone.stop();
  view.level(null);
  controls();
}

// --- files and addresses

async function transcribeBlob(blob, name) {
  if (running) return view.error("A transcription is under way: stop it first.");
  view.error(null);
  if (loaded) view.state("loading", `Reading ${name}…`);
  try {
    const source = await openAudio(blob, name);
    await transcribe(source);
  } catch (error) {
    fail(error.message, null, opening ? null : "This audio cannot be read.");
  }
}

function take(files) {
  try {
    const { audio, model, tokenizer } = sortFiles(files);
    if (audio) return transcribeBlob(audio, audio.name);
    // The model and its tokenizer may come one after the other.
    givenTokenizer = tokenizer ?? givenTokenizer;
    if (model.length) givenModel = model;
    if (!givenModel.length) return view.error("tekken.json is there: now choose the model, a .gguf or all its shards.");
    if (!givenTokenizer) return view.error(`${givenModel[0].name} is there: now choose its tekken.json as well.`);
    const label = givenModel.length > 1 ? `${givenModel.length} shards` : givenModel[0].name;
    openModel({ label, model: { files: givenModel }, tokenizer: { file: givenTokenizer } });
    givenModel = [];
  } catch (error) {
    view.error(error.message);
  }
}

function fromAddress(url, tokenizer) {
  const label = decodeURIComponent(url.pathname.split("/").pop()) || url.host;
  return { label, model: { url: url.href }, tokenizer: tokenizer && { url: tokenizer.href } };
}

async function fetchAudio(url) {
  const name = decodeURIComponent(url.pathname.split("/").pop()) || "audio";
  let answer;
  try {
    answer = await fetch(url);
  } catch {
    throw new EngineError("network", `${name} could not be fetched from ${url.host}: the network failed, or that server ` +
      "does not let other pages read it. Download it there, then choose the file here.");
  }
  if (!answer.ok) throw new EngineError("network", `${url.host} has no ${name} (answer ${answer.status}): check the address.`);
  return openAudio(await answer.blob(), name);
}

// Off-origin addresses of a link, which the user has not typed: ask first.
async function followLink(query) {
  let wrong = view.chooseSettings(query.get("delay"), query.get("left_silence"));
  const address = (name) => {
    const value = query.get(name);
    try {
      return value ? new URL(value, document.baseURI) : null;
    } catch {
      wrong = `The link's ${name} is no address: ${value}`;
      return null;
    }
  };
  let [model, tokenizer, audio] = ["model", "tokenizer", "audio"].map(address);
  if (wrong) view.error(wrong);
  const foreign = Object.entries({ model, tokenizer, audio }).filter(([, url]) => url && url.origin !== location.origin);
  if (foreign.length) {
    const hosts = [...new Set(foreign.map(([, url]) => url.host))].join(" and ");
    view.state("loading", "Waiting for your answer below.");
    view.model("None yet.");
    const yes = await view.ask("This link wants to fetch something from elsewhere. Nothing has been asked of it yet, " +
      "and your audio would not be sent there.", foreign.map(([name, url]) => `${name}: from ${url.host} (${url.href})`),
    `Fetch from ${hosts}`, "Use the self-test model instead");
    if (!yes) {
      if (foreign.some(([name]) => name !== "audio")) model = null;
      if (audio?.origin !== location.origin) audio = null;
    }
  }
  if (audio) offerAudio(audio, query.get("autostart") === "1");
  await openModel(model ? fromAddress(model, tokenizer) : SELF_TEST, { quiet: Boolean(wrong) });
}

async function offerAudio(url, start) {
  try {
    const source = await fetchAudio(url);
    if (start) transcribe(source);
    else view.offer(source.name, () => transcribe(source));
  } catch (error) {
    if (opening) view.error(error.message);     // the model is still wanted
    else fail(error.message, () => { view.error(null); offerAudio(url, start); }, "The link's audio cannot be had.");
  }
}

// --- the page itself

function connect() {
  const on = (id, event, handler) => document.getElementById(id).addEventListener(event, handler);
  on("speak", "click", speak);
  on("stop", "click", stop);
  on("self-test", "click", () => openModel(SELF_TEST));
  for (const id of ["audio-file", "model-files"]) {
    on(id, "change", ({ target }) => {
      const files = [...target.files];
      target.value = "";                        // so that the same file can be chosen again
      if (id === "audio-file") transcribeBlob(files[0], files[0].name);
      else take(files);
    });
  }
  on("address", "submit", (event) => {
    event.preventDefault();
    const tokenizer = document.getElementById("tokenizer-url").value;
    openModel(fromAddress(new URL(document.getElementById("model-url").value), tokenizer ? new URL(tokenizer) : null));
  });
  const nameHost = () => {
    const { value } = document.getElementById("model-url");
    const host = URL.canParse?.(value) ? new URL(value).host : null;
    document.getElementById("host").textContent = host ? `It would come from ${host}, once you press the button.` : "";
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
    if ([...event.dataTransfer.items].some(isFolder)) return view.error("That is a folder: drop the files that are in it.");
    take([...event.dataTransfer.files]);
  });
  // What was said and has not become text is gone with the page.
  addEventListener("beforeunload", (event) => {
    if (microphone?.recording.live || (last?.recording && last.unfinished)) event.preventDefault();
  });
}

connect();
view.state("loading", "Looking for a GPU…");
if (navigator.gpu) engine();                    // Python starts meanwhile
checkMachine().then(({ stop: reason, warning }) => {
  impossible = reason ?? null;
  view.warning(warning);
  if (!impossible) return followLink(new URLSearchParams(location.search));
  view.model("None: this browser cannot run one.");
  endSession();
  fail(impossible, null, "This browser cannot run Voxtab as it is.");
});
