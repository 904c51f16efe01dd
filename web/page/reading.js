// What can be done with a transcript: copied, saved, printed, searched, edited, heard; and those before it in this tab.

import { openAudio } from "../audio/file.js";
import { Recording } from "../audio/recording.js";
import { engine } from "./engine.js";
import { focusOn, isLost } from "./focus.js";
import { fileName, OWN, SUBTITLES, stemOf } from "./naming.js";
import * as player from "./player.js";
import * as spoken from "./spoken.js";
import { Transcript } from "./transcript.js";
import * as box from "./transcript_box.js";
import { button, error, jsonOf, note, save } from "./view.js";
import { Peaks } from "./waveform.js";
import { clock, put, reason, wording } from "./words.js";

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);
const SAME_SECONDS = 1; // by which the length of a file may differ from that of its text: some are estimates
const SAME_PART = 0.01; // of the text's length, where that is more
const COPIED_MS = 2000; // a button says so
const EDITED_MS = 300; // without a key: then the edited text is kept

// {stem: of the names of saved files, transcript, subtitles, result, file: name of the one it was made of, if known; goOn: see
// finished}
let shown = null;
let keepEdits = (_) => {};
let reopen = (_) => {};
let timer = null; // until edits are kept; null if none are waiting

// act: called with an entry of a session's log (web/worker/sessions/log.js) when the user has edited the transcript.
export function whenEdited(act) {
  keepEdits = act;
}

// act: called with a text of “Earlier in this tab” that the user opens.
export function whenOpened(act) {
  reopen = act;
}

// Whether the user has edited the transcript: what is not kept yet, or any of it.
export const hasUnkeptEdits = () => timer !== null;
export const isEdited = () => box.shown.isEdited;

function keepEditsSoon() {
  clearTimeout(timer);
  timer = setTimeout(keepEditsNow, EDITED_MS);
}

function keepEditsNow() {
  if (timer === null) return;
  clearTimeout(timer);
  timer = null;
  keepEdits(editsOf(shown));
}

// What is kept of a transcript that the user has edited.
export function editsOf({ transcript, subtitles, result }) {
  return result ? { result: asEdited(transcript, result), subtitles } : { edits: transcript.edits };
}

// Shows a text, {name, recording, transcript}, from now on. before: the one until now, if it would be lost, or null: its words,
// and a recording without a complete transcript, move to “Earlier”.
export function begin(before, text) {
  const { recording, transcript } = text;
  keepEditsNow();
  const isAlone = before?.unfinished && before.recording && before.recording !== recording;
  if (before && (before.transcript.text || isAlone)) keep(before);
  withdraw(text);
  display(transcript);
  spoken.follow(() => (transcript.isEdited ? "" : transcript.text));
  shown = { transcript, subtitles: null, result: null };
  rename(text);
  showComing(transcript);
}

// Shows no text from now on; what was just edited is not kept.
export function clear() {
  clearTimeout(timer);
  timer = null;
  display(new Transcript());
  spoken.follow(() => "");
  shown = null;
  element("reading-title").textContent = wording("reading.title");
  element("reading-title").classList.add("unseen");
}

// Shows a transcript, of which nothing is known yet.
function display(transcript) {
  player.withdraw();
  edit(false);
  box.display(transcript);
  delete element("transcript").dataset.silent;
  element("find").value = "";
  element("found").textContent = "";
  for (const id of ["text-actions", "actions", "no-audio"]) element(id).hidden = true;
}

// What is transcribed while another text is shown, or null; press: shows its text.
export function running(name, press = null) {
  element("running").hidden = !name;
  if (!name) return; // its text keeps its place: see keepRunning
  element("running-text").textContent = wording("reading.running", { name });
  element("show-running").onclick = () => {
    press();
    element("transcript").focus(); // the button is gone
  };
}

// Keeps the place of that sentence while nothing is transcribed, but soon will be.
export function keepRunning(on) {
  element("running").classList.toggle("soon", on);
}

// Scrolls the text into view.
export function bringText() {
  element("transcript").scrollIntoView({ block: "nearest" });
}

const titleOf = (name) => (OWN.includes(name) ? wording("transcribing.recording") : name);

// What the text that is shown is called: {name, recording}.
export function rename({ name, recording }) {
  shown.stem = stemOf(name, recording?.begun);
  element("reading-title").textContent = titleOf(name);
  element("reading-title").classList.remove("unseen");
}

// The text that is shown is not whole, and nothing writes it any more.
export function incomplete() {
  element("reading-title").append(` (${wording("sessions.incomplete")})`);
}

// The text that is shown.
export const text = () => box.shown.text;

// Text that has come, as Transcript.append takes it.
export function append(transcript, added, seconds = null) {
  box.follow(transcript);
  transcript.append(added, seconds);
  if (transcript === box.shown && element("text-actions").hidden) showComing(transcript);
}

// From the first word on, it can be copied, saved and edited.
function showComing(transcript) {
  if (!transcript.text.trim()) return;
  for (const id of ["text-actions", "actions", "save-text"]) element(id).hidden = false;
  for (const id of ["save-json", "save-wav", "again", "go-on", ...SUBTITLES.map((kind) => `save-${kind}`)])
    element(id).hidden = true;
  element("copy-times").hidden = !hasTimes();
}

// What can be done once a transcription has ended. subtitles: {srt, vtt, tsv}, or null if there are none; result: the
// command line's JSON, or null; audio: {blocks(), seconds, and wav() or blob} if it can be heard, with its Peaks; else {file};
// goOn: how an incomplete text goes on, {covered: seconds that have their text, press(file)}, or null.
export function finished({
  name,
  subtitles = null,
  recording = null,
  again = null,
  result = null,
  audio = null,
  peaks = null,
  goOn = null,
}) {
  spoken.finish();
  const transcript = box.shown;
  const hasText = transcript.text.trim() !== "";
  if (result && !result.text.trim()) element("transcript").dataset.silent = wording("transcript.silent");
  shown = { stem: stemOf(name, recording?.begun), transcript, subtitles, result, file: audio?.file, goOn };
  element("actions").hidden = !hasText && !recording && !again;
  for (const id of ["text-actions", "save-text"]) element(id).hidden = !hasText;
  for (const kind of SUBTITLES) element(`save-${kind}`).hidden = !subtitles?.[kind];
  element("save-json").hidden = !result;
  element("copy-times").hidden = !hasTimes();
  element("save-wav").hidden = !recording;
  element("save-wav").onclick = () => save(recording.wav(), `${shown.stem}.wav`);
  element("again").hidden = !again;
  element("again").onclick = again;
  const isHere = Boolean(audio?.wav || audio?.blob);
  element("go-on").hidden = !goOn || !isHere;
  if (goOn) element("go-on").textContent = wording("reading.go_on", { at: clock(goOn.covered) });
  element("go-on").onclick = () => goOn.press();
  if (goOn && !isHere) askForFile(wording("player.go_on", { at: clock(goOn.covered) }));
  else if (result ? hasText || audio.seconds > 0 : again && isHere) hearing(audio, peaks);
}

const hasTimes = () => (box.shown.blocks[0]?.start ?? null) !== null;

async function hearing(audio, peaks) {
  const blob = audio.wav?.() ?? audio.blob;
  const mine = shown;
  askForFile(blob ? null : wording("player.none"));
  if (!blob) return player.withdraw();
  const shape = peaks ?? (await Peaks.of(await anew(audio)));
  if (mine === shown) player.offer(blob, shape, audio.seconds, audio.blob && (() => decoded(audio)));
}

// Another reader of the same audio: its text may be written meanwhile.
const anew = async (audio) => (audio.blob ? openAudio(audio.blob, audio.name) : audio);

// A file as a Recording is, in WAV.
async function decoded(audio) {
  const recording = new Recording(audio.name);
  for await (const samples of (await anew(audio)).blocks()) recording.append(samples);
  return recording.wav();
}

// sentence: why the file whose text is shown is needed, which the page does not keep; or null.
function askForFile(sentence) {
  element("no-audio").hidden = !sentence;
  element("no-audio-text").textContent = sentence ?? "";
  element("hear-anyway").hidden = true;
}

async function hearFile({ target }) {
  const [file] = target.files;
  target.value = ""; // so that the same file can be chosen again
  const mine = shown;
  element("hear-anyway").hidden = true;
  try {
    const audio = await openAudio(file, file.name);
    const peaks = audio.seconds === null && !mine.goOn ? await Peaks.of(audio) : null; // then its length is known
    audio.close();
    if (mine !== shown) return;
    const use = async () => {
      if (mine.goOn) return mine.goOn.press(audio);
      await hearing(audio, peaks);
      if (isLost()) focusOn(element("play")); // what was pressed is gone
    };
    const doubt = doubtOf(audio);
    if (!doubt) return use();
    element("no-audio-text").textContent = doubt;
    element("hear-anyway").hidden = false;
    element("hear-anyway").onclick = use;
  } catch (failure) {
    if (mine === shown) put(element("no-audio-text"), reason(failure));
  }
}

// Why audio may be another than that of the text: a sentence, or null. Many recordings are equally long, so that the length
// alone does not tell; the same recording may have got another name.
function doubtOf({ name, seconds }) {
  const { result, goOn } = shown;
  const length = result?.audio_seconds ?? goOn.covered;
  const differs = goOn ? length - seconds : Math.abs(seconds - length); // of an incomplete text, more is to come
  if (differs > Math.max(SAME_SECONDS, SAME_PART * length))
    return wording("player.other", { name, own: clock(seconds), length: clock(length) });
  const file = fileName(shown.file ?? name);
  return file === name || OWN.includes(file) ? null : wording("player.other_name", { name, file });
}

// --- copied and saved

// The text as it stands on the page, with a blank line between paragraphs.
function plain(withTimes = false) {
  return box.shown.blocks
    .map(({ text, start }) => (withTimes && start !== null ? `[${clock(start)}] ${text}` : text))
    .join("\n\n");
}

// {srt, vtt, tsv} of a text as it stands: those that were made, or of an edited text new ones; the engine cuts it into lines.
export async function subtitlesOf({ text, words }, isEdited, made) {
  return isEdited ? engine.call("subtitles", { text, words }) : made;
}

// Saves the subtitles of one kind. subtitles: a promise of {srt, vtt, tsv}.
export async function saveSubtitles(kind, stem, subtitles) {
  try {
    save((await subtitles)[kind], `${stem}.${kind}`);
  } catch (failure) {
    error(wording("reading.no_subtitles", { kind: `.${kind}`, reason: reason(failure) }));
  }
}

function saveJson() {
  const result = box.shown.isEdited ? asEdited(box.shown, shown.result) : shown.result;
  save(jsonOf(result), `${shown.stem}.json`);
}

const asEdited = (transcript, result) => ({
  ...result,
  text: transcript.text,
  words: transcript.words,
  segments: undefined,
  edited: true,
});

// from: the element that shows them; button: the one that was pressed, which says for a moment that it is done.
export async function copy(words, from, button) {
  try {
    await navigator.clipboard.writeText(words);
  } catch {
    // the page is in an iframe that may not copy
    getSelection().selectAllChildren(from);
    return note(wording("reading.selected"));
  }
  const told = wording("reading.copied");
  const label = button.textContent;
  if (label === told) return;
  button.textContent = told;
  spoken.say(told);
  setTimeout(() => put(button, label), COPIED_MS);
}

// --- searched, edited

// Goes to the first place of some words, if the text has them.
export function find(words) {
  if (!box.find(words)) return;
  element("find").value = words;
  look();
}

function look() {
  element("found").dataset.count = box.find(element("find").value);
  goTo(1);
}

function goTo(step) {
  const count = element("find").value ? element("found").dataset.count : 0;
  const at = box.goTo(step);
  element("found").textContent = count ? wording("reading.found", { at, count: Number(count) }) : "";
}

function edit(on) {
  box.editable(on);
  element("edit").textContent = wording(on ? "reading.done" : "reading.edit");
  element("edit").classList.toggle("strong", on);
}

const on = (id, event, act) => element(id).addEventListener(event, act);
on("copy", "click", ({ target }) => copy(plain(), element("transcript"), target));
on("copy-times", "click", ({ target }) => copy(plain(true), element("transcript"), target));
on("save-txt", "click", () => save(`${plain()}\n`, `${shown.stem}.txt`));
for (const kind of SUBTITLES)
  on(`save-${kind}`, "click", () =>
    saveSubtitles(kind, shown.stem, subtitlesOf(box.shown, box.shown.isEdited, shown.subtitles)),
  );
on("save-json", "click", saveJson);
on("print", "click", () => print());
on("edit", "click", () => edit(!box.shown.isEditable));
on("transcript", "input", keepEditsSoon);
on("transcript", "focusout", keepEditsNow); // before a button of another list saves it
on("transcript", "keydown", (event) => {
  if (event.key !== "Escape" || !box.shown.isEditable) return;
  event.stopPropagation(); // what runs goes on
  edit(false);
  focusOn(element("edit"));
});
addEventListener("pagehide", keepEditsNow);
on("hear-file", "change", hearFile);
on("find", "input", look);
on("find", "keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  goTo(event.shiftKey ? -1 : 1);
});

// --- earlier in this tab: what the browser does not keep

const earlier = new Map(); // {what and of what: {id: of its session, item: its article}}

// In a window that keeps nothing, the user may read the same text again and again: it is there once.
const keyOf = ({ name, unfinished, transcript, session }) =>
  JSON.stringify([session?.id, name, unfinished, transcript.text]);

export function keep(kept) {
  const { id, name, unfinished, recording, transcript } = kept;
  const words = transcript.text;
  const item = document.createElement("article");
  withdraw(kept);
  earlier.set(keyOf(kept), { id, item });
  const text = document.createElement("p");
  Object.assign(text, { lang: "", dir: "auto" });
  text.textContent = words.trim();
  const title = document.createElement("h3");
  title.textContent = unfinished ? wording("reading.incomplete", { name: titleOf(name) }) : titleOf(name);
  const row = document.createElement("div");
  row.className = "row";
  row.append(button(wording("sessions.open"), () => reopen(kept)));
  if (words) row.append(button(wording("reading.copy"), ({ target }) => copy(words.trim(), text, target)));
  const stem = stemOf(name, recording?.begun);
  if (recording) row.append(button(wording("reading.save_recording"), () => save(recording.wav(), `${stem}.wav`)));
  item.append(title, text, row);
  element("earlier").querySelector("summary").after(item);
  element("earlier").hidden = false;
}

// It is shown, or there anew.
function withdraw(text) {
  drop(keyOf(text));
}

// A session was deleted.
export function forget(id) {
  for (const [key, kept] of earlier) if (kept.id === id) drop(key);
}

function drop(key) {
  earlier.get(key)?.item.remove();
  earlier.delete(key);
  element("earlier").hidden = earlier.size === 0;
}
