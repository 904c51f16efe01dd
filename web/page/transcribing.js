// A transcription: audio goes into the engine, text comes out.

import { engine } from "./engine.js";
import { stopListening } from "./listening.js";
import { openAgain, openModel, sayReady } from "./opening.js";
import * as progress from "./progress.js";
import { kept, newSession, noted, showSessions } from "./sessions.js";
import {
  allows,
  canSpeak,
  clear,
  enter,
  fail,
  isKept,
  isListening,
  isSelfTest,
  MISSING,
  modelForSpeech,
  onPhase,
  show as showText,
  state,
} from "./state.js";
import { Transcript } from "./transcript.js";
import * as view from "./view.js";
import { Peaks } from "./waveform.js";
import { failureOf, ofEngine, reason, seconds, sentences, wording } from "./words.js";

const ABORTED = failureOf("aborted", "status.stopped");
const ENGINE_GONE = ["lost", "crash", "silent", "device"]; // kinds of failures after which no model is open
const RETRY_SECONDS = 10; // of audio between two losses of the engine; without them, the second one ends the transcription

let latest = null; // the text of the transcription that began last
const files = new Map(); // the AudioFiles of this tab, by the ids of their sessions: the browser keeps only their texts

// audio: {name, live, seconds, blocks()}, a file or a Recording, which may still grow. It waits if no model is open.
// known: of a session that was interrupted and goes on, what is known of it (web/worker/sessions/log.js).
// isNext: nobody asked for it now, so its text is shown only to who has the one before on show. Resolves at the end with
// {failure, result, subtitles, text}; failure: of kind 'aborted' if it was stopped or put aside; null if it finished.
export async function transcribe(audio, known = null, isNext = false) {
  if (!allows("takeAudio")) return { failure: ABORTED };
  state.job?.replace();
  const job = new Job(audio, known);
  const isFollowed = !isNext || !readsAnother();
  view.offer(null);
  state.job = job;
  latest = job.text;
  if (isFollowed) showText(job.text);
  if (state.phase === "ready") {
    job.run();
    return job.ended;
  }
  job.showActions();
  if (state.phase === "closed") await stopListening(); // no model may ever read it
  if (state.job === job && state.phase !== "transcribing") job.sayThatItWaits();
  return job.ended;
}

// Shows a session that is kept; returns whether that is possible now. named: a Recording, an AudioFile, or {name, session} of a
// file that this tab may have.
export function show(named, known) {
  const { name, session } = named;
  const file = files.get(session?.id);
  return showAgain(keptText(file ? Object.assign(file, { name, session }) : named, known));
}

// The text of a session that is kept.
function keptText(audio, known) {
  const { texts, starts, result, subtitles } = known;
  const text = Object.assign(textOf(audio, !result), { onDisk: [known.text] });
  if (result) view.complete(text.transcript, result);
  else text.transcript.take(texts, starts);
  text.actions = { subtitles, again: Boolean(text.recording ?? audio.blob), result, goOn: goOnOf(text, known) };
  return text;
}

// How an incomplete text goes on where it ended; null if it is whole, or its tokens are not known. press: with the file, where
// the page has no audio.
function goOnOf({ audio }, known) {
  if (known.result || !known.tokens?.length) return null;
  const press = async (chosen = audio) => {
    const { name, session } = audio;
    const now = await kept(session.id); // the user may have edited it
    return transcribe(Object.assign(chosen, { name, session }), now ?? known);
  };
  return { covered: known.covered, press };
}

// Shows a text that was made in this tab, or that of a session; returns whether that is possible now.
export function showAgain(text) {
  if (!allows("openText")) return false;
  if (state.job && state.phase !== "transcribing") {
    view.error(wording("transcribing.waits_first", { name: state.job.title }));
    return false;
  }
  view.error(null);
  if (modelForSpeech() === MISSING) view.status(wording("status.get_model"));
  showWhole(text);
  return true;
}
view.whenOpened(showAgain);

// Shows a text that nothing writes, with all that can be done with it.
function showWhole(text) {
  showText(text);
  tellIncomplete(text);
  if (!state.job) Object.assign(window.voxtab, { result: text.actions.result ?? null, tokens: null });
  showActions(text);
}

const removals = [];

// act: called with the id of a session that was deleted.
export function onRemoved(act) {
  removals.push(act);
}

// A session was deleted, perhaps in another tab: its texts go from the page. Returns whether one of them was shown.
export function removed(id) {
  const { shown, job } = state;
  for (const act of removals) act(id);
  files.delete(id);
  view.forget(id);
  // What the note and the status say of it goes too.
  if (latest?.id === id && !job && canSpeak()) {
    view.note(null);
    if (!view.isLoading()) sayReady(); // otherwise the status names a file that is being read
  }
  // What is transcribed now goes on, also where the list has only what came until the disk was full.
  if (shown?.id !== id || shown === job?.text) return false;
  if (!job) Object.assign(window.voxtab, { result: null, tokens: null });
  clear();
  return true;
}

// Another tab has written into a session: its text, if it is the one that is shown, is shown as it is kept now. Where the user
// has edited it here too since then, that stays, as it is kept after it; the other tab's goes to “Earlier”. Resolves with a
// sentence about it, or null.
export async function rewritten(id) {
  const [text, before] = [state.shown, view.text()];
  const known = await kept(id);
  if (!known) return null;
  edited(id, known);
  const isShown = state.shown === text && text !== state.job?.text && text?.session?.id === id;
  if (!isShown || !isKept(text)) return null;
  if (text.onDisk.includes(known.text) && text.unfinished === !known.result) return null; // it got a title, say
  const other = keptText(text.audio, known);
  if (view.hasUnkeptEdits() || text.onDisk.length > 1 || view.text() !== before) {
    text.onDisk[0] = known.text;
    view.keep(Object.assign(other, { session: null }));
    return wording("sessions.edited_in_both");
  }
  other.actions.peaks = text.actions.peaks;
  if (latest === text) latest = other;
  showWhole(other);
  return wording("sessions.edited_elsewhere");
}

let retitled = (_id, _title) => {};

// act: called with the id of a session and its title when the user has given it one.
export function onRenamed(act) {
  retitled = act;
}

// The user has called a session something else: what is shown and saved of it has that name.
export function renamed(id, title) {
  retitled(id, title);
  const { shown } = state;
  if (shown?.session?.id !== id) return;
  shown.name = shown.audio.name = title;
  view.rename(shown);
  tellIncomplete(shown);
}

// In the heading, of a text that nothing writes any more.
function tellIncomplete(text) {
  if (text.unfinished && text !== state.job?.text) view.incomplete();
}

export function audioFailed(error, retry = null) {
  fail(reason(error), retry, wording("transcribing.unreadable"));
}

// From a text that is read meanwhile, one gets back to the one that is transcribed.
onPhase(() => {
  const { job, shown } = state;
  const isElsewhere = Boolean(job && job.text !== shown);
  view.running(isElsewhere ? job.title : null, () => showText(state.job.text));
});

// Whether the next text that nobody asked for now will not be shown, because the user reads another one.
export const readsAnother = () => Boolean(state.shown && state.shown !== latest);

// A text of an audio. id: of its session, which stays when `session` is that of another text; recording: the audio, if it was
// recorded here; unfinished: it is not complete; goesOn: it begins with one that was incomplete; onDisk: what the session's log
// has of it, and after that the user's edits that are on their way there; actions: see showActions.
function textOf(audio, unfinished) {
  const recording = audio.wav ? audio : null;
  const { name, session } = audio;
  const id = session?.id ?? null;
  const transcript = new Transcript();
  return { id, name, audio, recording, unfinished, session, goesOn: false, transcript, onDisk: [], actions: {} };
}

// Whether closing the page now would lose something: what runs or waits, or what could not be kept.
export function hasUnsavedWords() {
  if (isListening() || state.job || view.hasUnkeptEdits()) return true;
  const { shown } = state;
  if (!shown || isKept(shown)) return false;
  return view.isEdited() || Boolean(shown.session && (view.text() || (shown.recording && shown.unfinished)));
}

class Job {
  constructor(audio, known) {
    this.audio = audio;
    this.recording = audio.wav ? audio : null;
    this.delay = 0; // seconds
    this.covered = known?.covered ?? 0; // seconds of the audio whose text has come
    this.peaks = null; // of what was fed
    this.ended = new Promise((resolve) => {
      this.end = resolve;
    });
    // With what the text so far was made: {model, delay_ms, left_silence_tokens}; and its tokens, the prompt left out.
    this.origin = known?.run ?? null;
    this.tokens = known?.tokens ?? [];
    this.lostAt = null; // how much was covered when the engine went away the last time
    audio.session ??= newSession(audio.name);
    if (audio.blob) files.set(audio.session.id, audio);
    this.text = Object.assign(textOf(audio, true), { goesOn: Boolean(known) });
    this.text.transcript.take(known?.texts ?? [], known?.starts);
    if (!audio.session.isOpen) audio.session.open();
    showSessions();
  }

  get title() {
    return this.recording ? wording("transcribing.recording") : this.audio.name;
  }

  sayThatItWaits() {
    if (state.phase === "demo") view.state("ready", wording("status.get_model"));
    view.note(
      this.audio.live ? wording("transcribing.recorded_first") : wording("transcribing.waits", { name: this.title }),
    );
    if (this.recording) view.reveal("note"); // below the welcome, far from the button that was pressed
  }

  // No model is being opened any more. The audio can still be transcribed with the button below the transcript.
  putAside() {
    state.job = null;
    this.closeSession();
    this.showActions({ again: true });
    this.end({ failure: ABORTED });
  }

  // Other audio is transcribed in its place.
  replace() {
    this.closeSession();
    this.end({ failure: ABORTED });
  }

  // Transcribes with the open model; if the GPU or the Worker goes away, it goes on where it was.
  async run() {
    const { name: model } = state.model;
    const { audio, recording } = this;
    const { session } = audio;
    enter("transcribing");
    // The self-test model hears nothing with the longest delay.
    const settings = view.settings(audio.live || isSelfTest());
    if (!this.tokens.length || this.origin.model !== model) this.beginAgain({ model, ...settings });
    if (this.lostAt === null) view.error(null);
    view.note(null);
    Object.assign(window.voxtab, { result: null, tokens: null });
    view.state(
      "transcribing",
      audio.live ? wording("status.listening") : wording("status.transcribing", { name: audio.name }),
    );
    let saved = null;
    let written = null;
    let failure = null;
    let answer = {};
    try {
      answer = await this.stream();
      const { result, tokens, subtitles } = answer;
      Object.assign(window.voxtab, { result, tokens });
      // Of hours of audio, each of these takes long: reading the answer, keeping it, and showing it.
      await rest();
      session.note({ result, subtitles });
      await rest();
      this.text.unfinished = false;
      state.model.reopened = false;
      if (result.words.length) saved = subtitles;
      written = result;
      const { transcript } = this.text;
      view.complete(transcript, result);
      if (transcript.isEdited) {
        const edits = view.editsOf({ transcript, subtitles, result });
        session.note(edits);
        written = edits.result;
      }
      view.state("done", doneSentence(result));
    } catch (error) {
      failure = error;
    }
    const retry = isEngineGone(failure) && !(this.covered - this.lostAt < RETRY_SECONDS && this.lostAt !== null);
    if (failure && !retry) await stopListening(); // otherwise the microphone goes on meanwhile
    view.progress(null);
    view.note(null);
    if (failure && audio.seconds) this.peaks?.reach(audio.seconds);
    const peaks = failure && recording ? null : this.peaks; // a recording is all there, and quickly read
    const goOn = retry ? null : goOnOf(this.text, { ...this.sofar, result: written });
    this.showActions({ subtitles: saved, again: !retry, result: written, peaks, goOn });
    if (!failure) edited(session.id, { result: written, subtitles: answer.subtitles });
    if (!retry) {
      if (failure?.kind === "aborted") session.note({ stopped: true });
      this.closeSession();
      await settle(failure, { recording, hasText: this.text.transcript.text !== "" });
      if (audio.notes?.length)
        view.note(wording("note.of", { name: audio.name, note: sentences(audio.notes.map(ofEngine)) }));
      return this.end({ ...answer, result: written, failure, text: this.text });
    }
    this.lostAt = this.covered;
    return openAgain(
      reason(failure),
      this.tokens.length ? wording("transcribing.goes_on") : wording("transcribing.from_start"),
    );
  }

  get isShown() {
    return state.shown === this.text;
  }

  // As web/worker/sessions/log.js reads it, of a session that may not be kept.
  get sofar() {
    const { covered, tokens, origin: run } = this;
    return { covered, tokens, run, texts: [{ ...this.text.transcript.edits, covered }] };
  }

  showActions(actions = {}) {
    showActions(this.text, actions);
  }

  // It is over, or other audio takes its place. What the browser cannot keep of it goes below the text that is shown instead.
  keepUnseen() {
    if (this.isShown || isKept(this.text)) return;
    if (this.text.transcript.text || (this.recording && this.text.unfinished)) view.keep(this.text);
  }

  closeSession() {
    this.text.onDisk = [this.text.transcript.text];
    this.audio.session.close().then(() => {
      this.keepUnseen();
      showSessions();
    });
  }

  // What came before was made by another model, or there is nothing.
  beginAgain(origin) {
    if (this.origin) {
      const before = this.text;
      this.text = latest = textOf(this.audio, true);
      if (state.shown === before) showText(this.text);
      else if (before.transcript.text) view.keep(Object.assign(before, { session: null }));
    }
    Object.assign(this, { origin, tokens: [], covered: 0 });
    this.audio.session.note({ run: origin });
  }

  // The engine hears all of the audio, but does not choose again the tokens that are there. Resolves with {result, tokens,
  // subtitles}.
  async stream() {
    const { delay_ms, left_silence_tokens, guard = true, alternatives = 0 } = this.origin;
    this.delay = delay_ms / 1000;
    this.peaks = new Peaks();
    this.text.transcript.timeAgain();
    const settings = { delay_ms, left_silence_tokens, guard, alternatives, tokens: this.tokens };
    return engine.transcribe(this.audio, settings, (samples) => {
      throwIfStopping();
      if (samples) this.peaks.take(samples);
      else if (this.recording) view.status(wording("status.last_words"));
    });
  }

  // Takes text that has come, its tokens, and the seconds of audio that have their text.
  take(text, tokens, covered) {
    view.append(this.text.transcript, text, covered);
    this.audio.session.note({ text, tokens, from: this.tokens.length, covered });
    this.tokens.push(...tokens);
    this.follow(covered);
  }

  // Takes the times of the text that has come.
  takeWords(words) {
    const starts = this.text.transcript.takeStarts(words);
    if (starts.length) this.audio.session.note({ starts });
  }

  follow(covered) {
    this.covered = Math.max(this.covered, covered); // what goes on begins at 0 again
    this.showPace();
  }

  showPace() {
    if (state.phase === "transcribing") progress.ofText(this.audio, this.covered, this.delay);
  }
}

engine.on("text", ({ text, tokens, audio_seconds }) => {
  if (state.phase === "transcribing") state.job.take(text, tokens, audio_seconds);
});

engine.on("words", ({ words }) => {
  if (state.phase === "transcribing") state.job.takeWords(words);
});

engine.on("restart", ({ audio_seconds }) => {
  if (state.phase === "transcribing") state.job.text.transcript.showRestart(audio_seconds);
});

engine.on("covered", ({ audio_seconds }) => {
  state.job?.follow(audio_seconds);
});

// Lets the page's thread go.
const rest = () => new Promise((resolve) => setTimeout(resolve));

export function throwIfStopping() {
  if (state.stopping) throw ABORTED;
}

function doneSentence({ text, audio_seconds }) {
  if (!text.trim()) return wording("status.done_silent");
  return wording("status.done", { length: seconds(audio_seconds) });
}

// What can be done with a text and with its audio from now on, once it is shown. subtitles: null if the text is incomplete;
// again: whether it can be transcribed again; result: the command line's JSON, if the text is complete; peaks: of the audio,
// if they are known; goOn: see goOnOf.
function showActions(text, actions = text.actions) {
  text.actions = actions;
  if (state.shown !== text) return;
  const { subtitles = null, again = false, result = null, peaks = null, goOn = null } = actions;
  const { name, audio, recording } = text;
  view.finished({
    name,
    subtitles,
    recording,
    again: again ? () => transcribeAgain(text) : null,
    result,
    audio,
    peaks,
    goOn,
  });
}

// What the user has written into the text would be gone.
async function transcribeAgain({ audio, transcript }) {
  const [yes, no] = [wording("reading.again"), wording("reading.keep_edited")];
  if (transcript.isEdited && !(await view.ask(wording("reading.again_question"), [], yes, no))) return;
  return transcribe(audio);
}

function isEngineGone(failure) {
  return ENGINE_GONE.includes(failure?.kind);
}

let edited = (_id, _edits) => {};

// act: called with the id of a session and the entry of its log whenever the user has edited its text, and when it is complete.
export function onEdited(act) {
  edited = act;
}

view.whenEdited(async (edits) => {
  const text = state.shown;
  const session = text?.session;
  if (!session) return;
  edited(session.id, edits);
  if (session.failure) return;
  if (session.isOpen) return session.note(edits); // it is about to be transcribed again
  const { text: written } = edits.result ?? edits.edits;
  text.onDisk.push(written);
  await session.close();
  await noted(session, edits);
  text.onDisk = text.onDisk.slice(text.onDisk.lastIndexOf(written));
});

// What the engine was doing with the open model is over. failure: why it did not finish, or null; recording: what it was
// doing it with, or null; hasText: whether text has come.
export async function settle(failure, { recording = null, hasText = false } = {}) {
  const { model } = state;
  const open = !isEngineGone(failure);
  enter(open ? "ready" : "closed", { job: null, model: open ? model : null });
  if (!failure) return;
  if (failure.kind === "aborted") {
    view.error(null); // an error about something that was refused meanwhile
    view.state("ready", hasText ? wording("status.stopped_text") : wording("status.stopped"));
    if (!engine.isRunning) await openModel(model.request); // the Worker did not stop and was terminated
    return;
  }
  if (!open) view.model(wording("model.none"));
  const why = reason(failure);
  const sentence = recording ? wording("transcribing.recording_kept", { reason: why }) : why;
  fail(sentence, open ? null : () => openModel(model.request), wording("transcribing.unfinished"));
}
