// The transcripts that are kept on this machine: a recording that was interrupted is offered, and all are listed.

import { Recording } from "../audio/recording.js";
import { audioOf, list, onChange, remove, Session, whenClosed } from "../worker/sessions/sessions.js";
import { focusOn, isLost, remade } from "./focus.js";
import { latest } from "./latest.js";
import { folded } from "./more.js";
import { OWN, stemOf } from "./naming.js";
import { notice } from "./notices.js";
import { lowered } from "./transcript_box.js";
import * as view from "./view.js";
import { clock, date, facts, seconds, size, wording } from "./words.js";

const LARGE = 2e9; // bytes, or 17 hours of sound: then it is offered to delete the oldest
const TITLE_LETTERS = 60;
const MANY = 5; // transcripts, from which on they can be searched

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);

// Of transcribing.js.
const page = {
  transcribe: null,
  show: null,
  removed: (_) => false,
  renamed: (_id, _title) => {},
  rewritten: async (_) => null,
};
const listed = latest(list);
let sessions = []; // those of the list, the newest first
let awaited = null; // the session whose end in another tab is waited for

export function newSession(name) {
  tell(null);
  return new Session({ name, onfailure: notSaved });
}

onChange(async ({ removed, written }) => {
  if (removed && page.removed(removed)) tell(wording("sessions.deleted", { count: 1 }));
  showSessions();
  const sentence = written && (await page.rewritten(written));
  if (sentence) notice("deleted", sentence); // not as new: the other tab may write again and again
});

const keptSession = ({ id }) => new Session({ id, onfailure: notSaved });

// Shows all of it; called again when something has changed.
export async function showSessions(functions = page) {
  Object.assign(page, functions);
  let all;
  try {
    all = await listed();
  } catch (error) {
    return notSaved(error.name);
  }
  // Once a title that is being written is done, the list is shown anew.
  if (!all || element("sessions-list").querySelector("input")) return;
  const hasSomething = ({ isOpen, seconds, text }) => isOpen || seconds || text.trim();
  sessions = all.filter(hasSomething);
  for (const session of all) if (!hasSomething(session)) remove(session.id, true);
  showFound();
  element("sessions-none").hidden = sessions.length > 0;
  element("sessions-all").hidden = sessions.length === 0;
  const bytes = sessions.reduce((sum, session) => sum + session.bytes, 0);
  element("sessions-room").textContent = wording("sessions.room", { size: size(bytes) });
  element("delete-all").onclick = () => {
    const isRecorded = sessions.some(({ seconds }) => seconds);
    const question = isRecorded ? "sessions.delete_all_recorded" : "sessions.delete_all";
    discard(sessions, wording(question, { count: sessions.length }));
  };
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

// Of the sessions, those that have what the user searches for; without that, all.
function showFound() {
  const field = element("sessions-find");
  if (!sessions.length) field.value = "";
  element("sessions-search").hidden = sessions.length < MANY && !field.value && document.activeElement !== field;
  const wanted = plain(field.value.trim());
  const found = sessions.filter((session) => textsOf(session).some((text) => text.includes(wanted)));
  const list = element("sessions-list");
  remade(list, () => list.replaceChildren(...found.map(entry)), field.value ? field : element("audio-file"));
  const sentence = found.length ? "sessions.found" : "sessions.none_found";
  element("sessions-found").textContent = wanted && wording(sentence, { count: found.length });
}

element("sessions-find").addEventListener("input", showFound);

// In small letters, each written in one way only.
const plain = (text) => lowered(text.normalize());

// Where a session is searched.
function textsOf(session) {
  session.searched ??= [titleOf(session), fileOf(session), session.text].map(plain); // once, not at each key
  return session.searched;
}

// A recording without its whole text, which the user has not stopped, and which no tab is writing.
const isInterrupted = ({ isOpen, seconds, result, stopped }) => !isOpen && seconds > 0 && !result && !stopped;

function offerInterrupted(session) {
  if (!session) return notice("interrupted", null);
  const values = {
    length: clock(session.seconds),
    date: whenOf(session) ?? wording("sessions.some_day"),
    covered: clock(session.covered),
  };
  const sentence = session.text ? "sessions.interrupted_text" : "sessions.interrupted";
  notice("interrupted", wording(sentence, values));
  element("interrupted-transcribe").onclick = async () => {
    await page.transcribe(await recordingOf(session), session);
  };
  element("interrupted-save").onclick = async () => {
    const recording = await recordingOf(session);
    view.save(recording.wav(), `${stemOf(recording.name, recording.begun)}.wav`);
    await noted(session, { stopped: true }); // it is not offered again, and stays in the list
  };
  element("interrupted-discard").onclick = () => discardOne(session);
}

function offerToDelete(oldest, bytes) {
  if (bytes <= LARGE || !oldest) return notice("sessions-large", null);
  const title = titleOf(oldest);
  const values = {
    size: size(bytes),
    title,
    date: whenOf(oldest) ?? wording("sessions.some_day"),
    oldest: size(oldest.bytes),
  };
  notice("sessions-large", wording("sessions.large", values));
  element("delete-oldest").onclick = () => discardOne(oldest);
}

function entry(session) {
  const item = document.createElement("li");
  const title = document.createElement("strong");
  title.textContent = titleOf(session);
  const beginning = document.createElement("span");
  beginning.className = "quiet beginning";
  beginning.textContent = fileOf(session) || session.title ? beginningOf(session) : ""; // otherwise it is the title
  for (const users of [title, beginning]) Object.assign(users, { lang: "", dir: "auto" });
  const about = document.createElement("span");
  about.className = "quiet numbers";
  const known = [
    lengthOf(session),
    session.seconds ? wording("sessions.recorded", { size: size(session.bytes) }) : session.title && session.name,
    !session.result && wording("sessions.incomplete"),
  ];
  // Of what is written now, length and size would soon be wrong.
  about.textContent = facts([whenOf(session), ...(session.isOpen ? [wording("sessions.open_now")] : known)]);
  item.append(title, " ", beginning, " ", about, ...missing(session.gaps));
  if (session.isOpen) return item;
  const others = [
    labelled("rename", wording("sessions.rename"), session, () => askForTitle(session, title)),
    labelled("export", wording("sessions.export"), session, () =>
      view.save(exported(session), `${titleOf(session)}.json`),
    ),
    labelled("delete", wording("sessions.delete"), session, () => discardOne(session)),
  ];
  const open = labelled("open", wording("sessions.open"), session, () => reopen(session));
  item.append(...folded(idOf(session), open, others, (label) => labelled("more", label, session, () => {})));
  return item;
}

// What the recording lacks: one sentence, and the places on demand.
function missing(gaps) {
  if (!gaps.length) return [];
  const told = document.createElement("details");
  told.className = "quiet numbers";
  const sum = document.createElement("summary");
  const length = gaps.reduce((total, gap) => total + gap.seconds, 0);
  sum.textContent = wording("sessions.gaps", { count: gaps.length, length: seconds(tenths(length)) });
  const places = gaps.map((gap) => wording("sessions.gap", { length: seconds(gap.seconds), at: clock(gap.at) }));
  told.append(sum, facts(places));
  return [told];
}

const tenths = (count) => Math.round(10 * count) / 10;

// Of a session's entry, or of the button in it that does this.
const idOf = ({ id }, does = null) => ["session", id, does].filter(Boolean).join("-");

// Titles may be alike, so the names of buttons have the second too. does: see idOf.
function labelled(does, label, session, press) {
  const button = view.button(label, press);
  button.id = idOf(session, does);
  const name = facts([titleOf(session), whenOf(session, "medium")]);
  button.setAttribute("aria-label", wording("button.of", { label, name }));
  return button;
}

// As the user has called it, or its file; a recording is called what was said.
const titleOf = (session) => session.title || fileOf(session) || beginningOf(session) || wording("sessions.recording");

function beginningOf({ text }) {
  const words = text.trim();
  return words.length <= TITLE_LETTERS ? words : `${words.slice(0, TITLE_LETTERS).replace(/\s+\S*$/, "")}…`;
}

// The name of its file; "" of a recording.
const fileOf = ({ name }) => (name && !OWN.includes(name) ? name : "");

// Of its audio, or as the user has called it.
const nameOf = (session) => session.title ?? session.name ?? titleOf(session);

const whenOf = ({ begun }, timeStyle = "short") => (begun ? date(begun, { dateStyle: "medium", timeStyle }) : null);

function lengthOf({ seconds, covered, result }) {
  const length = seconds || result?.audio_seconds || covered;
  return length > 0 && clock(length);
}

async function reopen(session) {
  tell(null);
  const named = { name: nameOf(session), file: session.name, session: keptSession(session) };
  const isShown = page.show(session.seconds ? await recordingOf(session) : named, session);
  if (isShown) view.find(element("sessions-find").value.trim());
}

async function recordingOf(session) {
  const recording = new Recording(nameOf(session), await audioOf(session.id));
  recording.end();
  recording.session = keptSession(session);
  if (session.begun) recording.begun = new Date(session.begun);
  return recording;
}

// All that is kept of it but the audio, as JSON.
function exported(session) {
  const { begun, name, text, covered, gaps, result } = session;
  const known = { title: titleOf(session), begun, name, missing: gaps };
  return view.jsonOf({ ...known, ...(result ?? { text, audio_seconds: covered, incomplete: true }) });
}

let isPressing = false; // a button of the mouse, or a finger, is down
const press = ({ type }) => {
  isPressing = type === "mousedown";
};
for (const event of ["mousedown", "mouseup"]) addEventListener(event, press, true);

function askForTitle(session, shown) {
  const input = document.createElement("input");
  input.value = titleOf(session);
  input.dir = "auto";
  input.setAttribute("aria-label", wording("sessions.title"));
  shown.replaceChildren(input);
  input.select();
  const end = async (title) => {
    if (!input.onblur) return;
    input.onblur = null;
    shown.textContent = title || titleOf(session);
    if (!title || title === titleOf(session)) return showSessions();
    await noted(session, { title });
    page.renamed(session.id, title);
  };
  const done = () => end(input.value.trim());
  // What is pressed elsewhere stays where it is until it has got its click.
  input.onblur = () => (isPressing ? addEventListener("click", done, { once: true }) : done());
  input.onkeydown = (event) => {
    if (!["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault(); // otherwise Enter would press the button that gets the focus
    if (event.key === "Enter") done();
    else end("");
    focusOn(element(idOf(session, "rename")));
  };
}

// What is kept of a session, or undefined.
export async function kept(id) {
  const all = await list().catch(() => []); // the browser keeps nothing
  return all.find((session) => session.id === id);
}

// Adds an entry to the log of a session that no tab is writing.
export async function noted(session, entry) {
  const kept = keptSession(session);
  kept.open();
  kept.note(entry);
  await kept.close();
  await showSessions();
}

const discardOne = (session) => discard([session], wording("sessions.delete_question", { title: titleOf(session) }));

// question: asked before.
async function discard(sessions, question) {
  if (!(await view.ask(question, [], wording("sessions.delete"), wording("sessions.keep"), true))) return;
  let inUse = 0;
  for (const { id } of sessions) {
    if (await remove(id)) page.removed(id);
    else inUse++;
  }
  tell(inUse ? wording("sessions.in_use") : wording("sessions.deleted", { count: sessions.length }));
  await showSessions();
  if (isLost()) focusOn(element("deleted").querySelector(".dismiss"));
}

// What was deleted: where the question was, for on a small screen the list is far below. null: another text is what matters.
const tell = (sentence) => notice("deleted", sentence, true);

function notSaved(name) {
  const why = {
    QuotaExceededError: "sessions.disk_full",
    NotSupportedError: "sessions.cannot_keep",
    SecurityError: "sessions.private",
    TimeoutError: "sessions.other_tab",
  };
  notice("not-saved", wording(why[name] ?? "sessions.not_written", { name }));
}
