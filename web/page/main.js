// The page: what is dropped, chosen, pressed, or given in its address.

import { openAudio } from "../audio/file.js";
import { bench } from "./bench.js";
import { checkMachine } from "./machine.js";
import { isFolder, sortFiles } from "./files.js";
import { Failure } from "../failure.js";
import * as transcription from "./transcription.js";
import * as view from "./view.js";

const { openModel, transcribe, fail } = transcription;
const SELF_TEST = { label: "the self-test model", model: null, tokenizer: null, selfTest: true };

// For whoever drives the page: the command line's JSON of the last transcription that was finished.
window.voxtab = { result: null };

let givenModel = []; // files that wait for the rest of the model
let givenTokenizer = null;

// --- files and addresses

async function transcribeBlob(blob, name) {
  if (!transcription.isFree()) return;
  view.error(null);
  if (!transcription.isOpening()) view.state("loading", `Reading ${name}…`);
  try {
    transcribe(await openAudio(blob, name));
  } catch (error) {
    audioFailed(error);
  }
}

function audioFailed(error, retry = null) {
  fail(error.message, retry, "The audio cannot be had.");
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
    givenTokenizer = null; // another model's is another one
  } catch (error) {
    view.error(error.message);
  }
}

function lastName(url) {
  const name = url.pathname.split("/").pop();
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // a stray % is no reason to stop
  }
}

function fromAddress(url, tokenizer) {
  const label = lastName(url) || url.host;
  return { label, model: { url: url.href }, tokenizer: tokenizer && { url: tokenizer.href } };
}

async function fetchAudio(url) {
  const name = lastName(url) || "audio";
  let answer;
  try {
    answer = await fetch(url);
  } catch {
    throw new Failure(
      "network",
      `${name} could not be fetched from ${url.host}: the network failed, or that server ` +
        "does not let other pages read it. Download it there, then choose the file here.",
    );
  }
  if (!answer.ok)
    throw new Failure("network", `${url.host} has no ${name} (answer ${answer.status}): check the address.`);
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
  const foreign = Object.entries({ model, tokenizer, audio }).filter(
    ([, url]) => url && url.origin !== location.origin,
  );
  if (foreign.length) {
    const hosts = [...new Set(foreign.map(([, url]) => url.host))].join(" and ");
    view.state("loading", "Waiting for your answer below.");
    view.model("None yet.");
    const yes = await view.ask(
      "This link wants to fetch something from elsewhere. Nothing has been asked of it yet, " +
        "and your audio would not be sent there.",
      foreign.map(([name, url]) => `${name}: from ${url.host} (${url.href})`),
      `Fetch from ${hosts}`,
      "Use the self-test model instead",
    );
    if (!yes) {
      if (foreign.some(([name]) => name !== "audio")) model = null;
      if (audio?.origin !== location.origin) audio = null;
    }
  }
  const wanted = { ...(model ? fromAddress(model, tokenizer) : SELF_TEST), variants: query.get("variants") };
  if (query.get("bench") === "1") {
    const opened = await openModel(wanted, { quiet: Boolean(wrong) });
    return (
      opened && (audio ? fetchAudio(audio) : Promise.resolve(null)).then(bench).catch((error) => audioFailed(error))
    );
  }
  const asked = query.get("autostart") === "1";
  const autostart = asked && !wrong; // nothing goes on by itself otherwise than the link asks
  const offered = audio ? offerAudio(audio, autostart) : null;
  await openModel(wanted, { quiet: Boolean(wrong) });
  // Who drives the page by a link waits for `done` or `error`.
  const failure = await offered;
  if (failure && autostart) audioFailed(failure, () => offerAudio(audio, autostart));
  if (asked && wrong) fail(wrong, null, "The link asks for what there is not: see below.");
}

// Answers what went wrong, if something did.
async function offerAudio(url, start) {
  try {
    const source = await fetchAudio(url);
    if (start) transcribe(source);
    else view.offer(source.name, () => transcribe(source));
  } catch (error) {
    audioFailed(error, () => {
      view.error(null);
      offerAudio(url, start);
    });
    return error;
  }
  return null;
}

// --- the page itself

function connect() {
  const on = (id, event, handler) => document.getElementById(id).addEventListener(event, handler);
  on("speak", "click", transcription.speak);
  on("stop", "click", transcription.stop);
  on("self-test", "click", () => openModel(SELF_TEST));
  for (const id of ["audio-file", "model-files"]) {
    on(id, "change", ({ target }) => {
      const files = [...target.files];
      target.value = ""; // so that the same file can be chosen again
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
    if ([...event.dataTransfer.items].some(isFolder))
      return view.error("That is a folder: drop the files that are in it.");
    take([...event.dataTransfer.files]);
  });
  // What was said and has not become text is gone with the page.
  addEventListener("beforeunload", (event) => {
    if (transcription.hasUnsavedWords()) event.preventDefault();
  });
}

connect();
view.state("loading", "Looking for a GPU…");
if (navigator.gpu) transcription.start(); // Python starts meanwhile
checkMachine()
  .then(({ stop, warning }) => {
    view.warning(warning);
    if (stop) transcription.giveUp(stop);
    else return followLink(new URLSearchParams(location.search));
  })
  .catch((error) => fail(`This page is broken (${error.message}): reload it, and report it if it happens again.`));
