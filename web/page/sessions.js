// The transcripts that are kept on this machine: a recording that was interrupted is offered, and all are listed.

import { Recording } from "../audio/recording.js";
import { audioOf, list, onChange, remove, Session, whenClosed } from "../worker/sessions/sessions.js";
import * as view from "./view.js";

const LARGE = 2e9; // bytes, or 17 hours of sound: then it is offered to delete the oldest
const TITLE_LETTERS = 60;

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);

const page = { transcribe: null, show: null, removed: (_) => {} }; // of transcribing.js
let awaited = null; // the session whose end in another tab is waited for

export const newSession = (name) => new Session({ name, onfailure: notSaved });

onChange(({ removed }) => {
  page.removed(removed);
  showSessions();
});

const keptSession = ({ id }) => new Session({ id, onfailure: notSaved });

// Shows all of it; called again when something has changed.
export async function showSessions(functions = page) {
  Object.assign(page, functions);
  let all;
  try {
    all = await list();
  } catch (error) {
    return notSaved(error.name);
  }
  const hasSomething = ({ isOpen, seconds, text }) => isOpen || seconds || text.trim();
  const sessions = all.filter(hasSomething);
  for (const session of all) if (!hasSomething(session)) remove(session.id);
  element("sessions-list").replaceChildren(...sessions.map(entry));
  element("sessions-none").hidden = sessions.length > 0;
  element("sessions-all").hidden = sessions.length === 0;
  const bytes = sessions.reduce((sum, session) => sum + session.bytes, 0);
  element("sessions-room").textContent = `They take ${view.size(bytes)}.`;
  element("delete-all").onclick = () => discard(sessions, "Delete all transcripts and their recordings?");
  offerToDelete(
    sessions.findLast(({ isOpen }) => !isOpen),
    bytes,
  );
  offerInterrupted(sessions.find(isInterrupted));
  const written = sessions.find(({ isElsewhere }) => isElsewhere);
  if (!written || awaited === written.id) return;
  awaited = written.id;
  await whenClosed(written.id);
  awaited = null;
  showSessions();
}

// A recording without its whole text, which the user has not stopped, and which no tab is writing.
const isInterrupted = ({ isOpen, seconds, result, stopped }) => !isOpen && seconds > 0 && !result && !stopped;

function offerInterrupted(session) {
  element("interrupted").hidden = !session;
  if (!session) return;
  element("interrupted-text").textContent =
    `A recording of ${view.clock(session.seconds)} was interrupted${when(session)}. It is kept on this machine` +
    `${session.text ? `, with its text up to ${view.clock(session.covered)}` : ""}.`;
  element("interrupted-transcribe").onclick = async () => {
    await page.transcribe(await recordingOf(session), session);
  };
  element("interrupted-save").onclick = async () => {
    view.save((await recordingOf(session)).wav(), `${titleOf(session)}.wav`);
    await noted(session, { stopped: true }); // it is not offered again, and stays in the list
  };
  element("interrupted-discard").onclick = () => discard([session], null);
}

function offerToDelete(oldest, bytes) {
  const isLarge = bytes > LARGE && oldest;
  element("sessions-large").hidden = !isLarge;
  if (!isLarge) return;
  element("sessions-large-text").textContent =
    `Your transcripts take ${view.size(bytes)} of this machine's disk. The oldest is “${titleOf(oldest)}”` +
    `${when(oldest)}, ${view.size(oldest.bytes)}.`;
  element("delete-oldest").onclick = () => discard([oldest], `Delete “${titleOf(oldest)}”?`);
}

function entry(session) {
  const item = document.createElement("li");
  const title = document.createElement("strong");
  title.textContent = titleOf(session);
  const facts = document.createElement("span");
  facts.className = "quiet numbers";
  facts.textContent = [
    session.begun && new Date(session.begun).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }),
    lengthOf(session),
    session.seconds ? `recorded here, ${view.size(session.bytes)}` : session.name,
    session.isOpen ? "is being written now" : !session.result && "incomplete",
    ...session.gaps.map(({ at, seconds }) => `${view.seconds(seconds)} missing at ${view.clock(at)}`),
  ]
    .filter(Boolean)
    .join(", ");
  const row = document.createElement("div");
  row.className = "row";
  if (!session.isOpen) {
    row.append(
      labelled("Open", session, () => reopen(session)),
      labelled("Rename", session, () => askForTitle(session, title)),
      labelled("Export", session, () => view.save(exported(session), `${titleOf(session)}.json`)),
      labelled("Delete", session, () => discard([session], `Delete “${titleOf(session)}”?`)),
    );
  }
  item.append(title, " ", facts, row);
  return item;
}

function labelled(label, session, press) {
  const button = view.button(label, press);
  button.setAttribute("aria-label", `${label} ${titleOf(session)}`);
  return button;
}

function titleOf({ title, text, name }) {
  if (title) return title;
  const words = text.trim();
  if (!words) return name ?? "Recording";
  return words.length <= TITLE_LETTERS ? words : `${words.slice(0, TITLE_LETTERS).replace(/\s+\S*$/, "")}…`;
}

const when = ({ begun }) => (begun ? ` on ${new Date(begun).toLocaleString()}` : "");

function lengthOf({ seconds, covered, result }) {
  const length = seconds || result?.audio_seconds || covered;
  return length > 0 && view.clock(length);
}

async function reopen(session) {
  const audio = session.seconds
    ? await recordingOf(session)
    : { name: titleOf(session), session: keptSession(session) };
  page.show(audio, session);
}

async function recordingOf(session) {
  const recording = new Recording(titleOf(session), await audioOf(session.id));
  recording.end();
  recording.session = keptSession(session);
  return recording;
}

// All that is kept of it but the audio, as JSON.
function exported(session) {
  const { begun, name, text, covered, gaps, result } = session;
  const known = { title: titleOf(session), begun, name, missing: gaps };
  return `${JSON.stringify({ ...known, ...(result ?? { text, audio_seconds: covered, incomplete: true }) }, null, 1)}\n`;
}

function askForTitle(session, shown) {
  const input = document.createElement("input");
  input.value = titleOf(session);
  input.setAttribute("aria-label", "Title");
  shown.replaceChildren(input);
  input.select();
  const done = async () => {
    input.onblur = null;
    const title = input.value.trim();
    shown.textContent = title || titleOf(session);
    if (title && title !== titleOf(session)) await noted(session, { title });
  };
  input.onblur = done;
  input.onkeydown = ({ key }) => {
    if (key === "Enter") done();
    if (key === "Escape") {
      input.onblur = null;
      shown.textContent = titleOf(session);
    }
  };
}

// Adds an entry to the log of a session that no tab is writing.
async function noted(session, entry) {
  const kept = keptSession(session);
  kept.open();
  kept.note(entry);
  await kept.close();
  await showSessions();
}

// question: asked before; null where the user's click was the answer.
async function discard(sessions, question) {
  if (question && !(await view.ask(question, [], "Delete", "Keep"))) return;
  let inUse = 0;
  for (const { id } of sessions) {
    if (await remove(id)) page.removed(id);
    else inUse++;
  }
  element("sessions-status").textContent = inUse
    ? "What is being written now was not deleted: stop it first."
    : `${sessions.length === 1 ? "The transcript was" : `${sessions.length} transcripts were`} deleted.`;
  await showSessions();
}

function notSaved(name) {
  const why =
    {
      QuotaExceededError: "The disk is full, or the browser gives this site no more room",
      NotSupportedError: "This browser cannot keep anything for this page",
      SecurityError: "The browser lets this window keep nothing (is it private?)",
      TimeoutError: "Another tab is writing this transcript",
    }[name] ?? `The browser could not write to its storage (${name})`;
  element("not-saved").textContent = `${why}: save the text and the recording before you close this page.`;
  element("not-saved").hidden = false;
}
