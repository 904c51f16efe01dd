// The queue of files and addresses that are transcribed one after another.

import { openAudio } from "../audio/file.js";
import { fetchAudio } from "./address.js";
import { sayReady } from "./opening.js";
import * as progress from "./progress.js";
import * as list from "./queue_list.js";
import { kept } from "./sessions.js";
import { canSpeak, canTakeFile, isSelfTest, MISSING, modelForSpeech, OPEN, onPhase, state } from "./state.js";
import {
  audioFailed,
  onEdited,
  onRemoved,
  onRenamed,
  readsAnother,
  showAgain,
  show as showText,
  transcribe,
} from "./transcribing.js";
import * as view from "./view.js";
import { ofEngine, reason, sentences, wording } from "./words.js";

const LEFT_MS = 1000; // between two estimates of the time left

// Of each: {id, name, source: a File or URL; state: waiting, reading, running, done, failed or stopped; message: what went
// wrong, or what is to say about the audio; seconds: of the audio, once it was opened; audio: an AudioFile, once it is
// transcribed; written: {result, subtitles}, once it is done; text: what has come, where it was stopped or has failed;
// abort: an AbortController of reading it; isCancelled: the user took it back while it was read or transcribed; isRestarted:
// the user changed how it is transcribed}.
const items = [];
let lastId = 0;
let current = null; // the item that is read or transcribed
let isAsked = false; // the user has given files, and none of them was transcribed yet
let isHeld = false; // the user pressed Stop: nothing begins until he says so
let leftOut = null; // what came with the last files and is not audio: a sentence, or null
let stop = () => {}; // what the Stop button does

// stopTranscribing: what the Stop button does.
export function connectQueue(stopTranscribing) {
  stop = stopTranscribing;
  onPhase(() => advance());
  onEdited((id, { result, subtitles }) => {
    const [item] = itemsOf(id);
    if (!item || !result) return;
    if (item.written) item.written.result = result;
    else if (item !== current) complete(item, { result, subtitles });
  });
  onRemoved(forget);
  onRenamed((id, title) => {
    const [item] = itemsOf(id);
    if (!item) return;
    item.audio.name = title;
    item.name = title.replaceAll("/", "_"); // a folder's name is before a stroke
    show();
  });
  view.offerLongest(useLongest);
}

// sources: [{name, source: File or URL}]; others: a sentence about what came with them and is not audio, or null. They wait
// for a model, if none is open.
export function enqueue(sources, others = null) {
  if (state.impossible) return refuse(sources);
  if (!items.some(({ state }) => state === "waiting")) isHeld = false;
  leftOut = others;
  for (const { name, source } of sources)
    items.push({
      id: ++lastId,
      name,
      source,
      state: "waiting",
      message: "",
      seconds: null,
      audio: null,
      written: null,
      text: null,
      isCancelled: false,
      isRestarted: false,
    });
  const before = current;
  isAsked ||= !current;
  advance();
  if (current === before) list.follow(items.at(-1)); // otherwise the one that has begun is followed
  if (modelForSpeech() === MISSING) view.reveal("queue"); // below the welcome: it says what they wait for
}

// The page says already why this machine cannot run the engine: now also what of.
function refuse(sources) {
  const name = sources.length > 1 ? wording("files.count", { count: sources.length }) : sources[0].name;
  view.error(wording("queue.impossible", { name, why: state.impossible }));
  view.reveal("error");
}

// Begins the next item, if nothing else is being done.
async function advance() {
  const item = items.find(({ state }) => state === "waiting");
  if (!item || current || isHeld || !canTakeFile()) return show();
  current = item;
  await run(item);
  current = null;
  if (item.state !== "stopped" && !isHeld && !items.some(({ state }) => state === "waiting")) sayThatAllIsOver();
  advance();
}

// Of a single file, the status says it already.
function sayThatAllIsOver() {
  if (items.length < 2) return;
  const done = items.filter(({ state }) => state === "done").length;
  const failed = items.filter(({ state }) => state === "failed");
  const values = { count: done, all: items.length, failed: wording("queue.some_failed", { count: failed.length }) };
  view.status(failed.length ? wording("queue.ended_failed", values) : wording("queue.ended", values));
  if (failed.length) list.follow(failed[0]);
}

async function run(item) {
  change(item, "reading");
  list.follow(item);
  view.error(null);
  view.state("loading", wording("status.reading", { name: item.name }));
  const former = item.text && !item.audio.session.failure ? item.audio.session : null; // where its text goes on
  let audio;
  try {
    audio = await open(item);
  } catch (error) {
    if (item.isCancelled) return notRead(item, reason(error));
    change(item, "failed", reason(error));
    audioFailed(error, () => again(item));
    return;
  }
  let known = former && (await kept(former.id));
  if (!known?.tokens.length) known = null;
  if (item.isCancelled || !canTakeFile()) {
    audio.close();
    if (item.isCancelled) return notRead(item);
    return change(item, "waiting"); // the user began something else meanwhile
  }
  if (known) audio.session = former;
  Object.assign(item, { audio, seconds: audio.seconds });
  let ended;
  do {
    item.isRestarted = false;
    change(item, "running");
    const isNext = !isAsked;
    isAsked = false;
    ended = await transcribe(audio, known, isNext);
    known = null;
    if (item.isRestarted) await audio.session.close();
  } while (item.isRestarted && !item.isCancelled);
  const { failure, result, subtitles, text } = ended;
  item.text = failure && text?.transcript.text ? text : null;
  if (!failure) {
    item.written = { result, subtitles };
    return change(item, "done", sentences(audio.notes.map(ofEngine)));
  }
  const isStopped = failure.kind === "aborted";
  isHeld = !item.isCancelled && (isStopped || state.phase !== "ready");
  change(item, isStopped ? "stopped" : "failed", isStopped ? "" : reason(failure));
}

// Its text went on elsewhere in the page.
function complete(item, written) {
  Object.assign(item, { written, text: null });
  change(item, "done");
}

// The user has cancelled it while it was read.
function notRead(item, message = "") {
  change(item, "stopped", message);
  if (canSpeak()) sayReady();
}

function open(item) {
  const { name, source } = item;
  if (!(source instanceof URL)) return openAudio(source, name);
  item.abort = new AbortController();
  return fetchAudio(source, item.abort.signal);
}

// Shows the text of a file that is done, or as far as it came: as the user has edited it, where it is kept.
async function read({ audio, written, text }) {
  const session = audio.session && (await kept(audio.session.id));
  if (!session && !audio.session?.failure) audio.session = null; // nothing was said in it
  // An edit may still be on its way to the disk.
  if (written) showText(audio, { texts: [], text: written.result.text, ...written });
  else if (session) showText(audio, session);
  else showAgain(Object.assign(text, { session: audio.session }));
  view.bringText();
}

// {srt, vtt, tsv} of a file that is done, as the user has edited its text.
const subtitlesOf = ({ written: { result, subtitles } }) => view.subtitlesOf(result, result.edited, subtitles);

function change(item, to, message = "") {
  Object.assign(item, { state: to, message });
  show();
}

function again(item) {
  isAsked ||= !current;
  isHeld = false;
  Object.assign(item, { state: "waiting", message: "", isCancelled: false });
  advance();
}

function cancel(item) {
  if (item === current) {
    item.isCancelled = true;
    item.abort?.abort();
    if (item.state === "running") stop();
  } else {
    remove(item);
  }
}

function remove(...those) {
  for (const item of those) items.splice(items.indexOf(item), 1);
  show();
}

// Those whose text is a session's.
const itemsOf = (id) => items.filter(({ audio }) => audio?.session?.id === id);

// A session was deleted: the row of its file goes too, unless the file is to be transcribed again.
function forget(id) {
  for (const item of itemsOf(id)) {
    if (["done", "failed", "stopped"].includes(item.state)) remove(item);
    else if (item.state !== "running") Object.assign(item, { audio: null, text: null });
  }
}

// by: -1 or 1.
function move(item, by) {
  const waiting = items.filter(({ state }) => state === "waiting");
  const other = waiting[waiting.indexOf(item) + by];
  if (!other) return;
  const [from, to] = [items.indexOf(item), items.indexOf(other)];
  [items[from], items[to]] = [other, item];
  show();
}

// Until the last file is done, in seconds, while several are to be done; null if that cannot be told yet. Files that were
// not opened yet count as long for their bytes as those that were.
function timeLeft() {
  const waiting = items.filter(({ state }) => state === "waiting");
  const now = current?.state === "running" && progress.ofFile();
  if (!now || !waiting.length || waiting.some(({ source }) => source instanceof URL)) return null;
  const opened = items.filter(({ seconds, source }) => seconds && !(source instanceof URL));
  const sum = (all, of) => all.reduce((total, item) => total + of(item), 0);
  const bytes = ({ source }) => source.size;
  const length = (sum(waiting, bytes) * sum(opened, ({ seconds }) => seconds)) / sum(opened, bytes);
  return (now.rest + length) / now.pace;
}

setInterval(() => list.showLeft(timeLeft()), LEFT_MS);

// Files are transcribed with the longest delay from now on, the one that runs too.
function useLongest() {
  if (current?.state === "running") {
    current.isRestarted = true;
    stop();
  }
  show();
}

function show() {
  const act = { again, cancel, move, remove, read, subtitlesOf, goOn: isHeld ? goOn : null };
  list.show(items, act, leftOut, modelForSpeech(), state.shown?.session?.id);
  const isNext = items.some(({ state }) => ["waiting", "reading"].includes(state));
  view.keepRunning(isNext && !isHeld && canTakeFile() && readsAnother());
  view.showOffer(items.length > 0 && modelForSpeech() === OPEN && !isSelfTest());
}

function goOn() {
  isAsked = true;
  isHeld = false;
  advance();
}
