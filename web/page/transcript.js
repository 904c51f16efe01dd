// The transcript on the page: paragraphs with their times in the margin; words that can be heard, found and edited.
//
// A paragraph is one text node, however many words it has, so that hours of text stay fast. Words are places in it:
// {text, start, end, at}, start and end in seconds, `at` in characters of the paragraph.

import { retimed } from "./retiming.js";
import { say } from "./spoken.js";
import { clock, facts, language, percent, wording } from "./words.js";

const PAUSE = 2; // seconds without a word, after which a new paragraph begins
const LONG = 600; // characters, after which the next sentence begins a new paragraph
const SENTENCE_ENDS = /\p{Sentence_Terminal}["'”’»›)\]}」』）】]*\s*$/u;
const AT_END = 40; // pixels: whoever reads the end follows it

/** @type {any} */
const box = document.getElementById("transcript");

// {element, line, start, words, before: its text when `words` were right, isComing: its words are not known yet, letters:
// of the text before it, as it came, white space left out; null once it has its first word's start}
let paragraphs = [];
let letters = { come: 0, timed: 0 }; // of the text that came, and of the words whose times came
let isBroken = false; // a mark was set, after which a new paragraph begins
let lastSeconds = 0; // of the audio that the text so far covers
let heard = { seek: null, toggle: null, now: null }; // what plays the audio: see `playable`
let timeline = null; // [{paragraph, word}], by time; null if it must be made again
let playedAt = -1; // index of the word that is marked as played
let edited = false;

// --- the text

export function clear() {
  paragraphs = [];
  letters = { come: 0, timed: 0 };
  lastSeconds = 0;
  timeline = null;
  edited = false;
  isBroken = false;
  played(null);
  find("");
  showSureness();
  box.replaceChildren();
}

export function text() {
  return paragraphs.map(({ line }) => line.textContent).join("");
}

// The paragraphs' texts, trimmed, and when each begins: [{text, start}], start in seconds or null.
export function blocks() {
  return paragraphs
    .map(({ line, words, start }) => ({ text: line.textContent.trim(), start: words[0]?.start ?? start }))
    .filter(({ text }) => text);
}

// [{text, start, end}], in seconds.
export function words() {
  return paragraphs.flatMap(({ words }) => words.map(({ text, start, end }) => ({ text, start, end })));
}

export function isEdited() {
  return edited;
}

// Text that has come. seconds: of the audio that the text covers with it; null if it belongs to no audio.
export function append(added, seconds = null) {
  const follows = isAtEnd();
  const last = paragraphs.at(-1);
  const paused = seconds !== null && seconds - lastSeconds > PAUSE;
  if (!last) {
    begin(added, seconds, true);
  } else if (added.trim() && (paused || isBroken || isLong(last.line.textContent))) {
    const words = added.trimStart();
    extend(last, added.slice(0, -words.length)); // a line begins with its first word
    begin(words, seconds, true);
  } else {
    extend(last, added);
  }
  letters.come += lettersOf(added);
  if (added.trim() && seconds !== null) lastSeconds = seconds;
  if (follows) box.scrollTop = box.scrollHeight;
}

// A single text node, however long it gets; it is missing where the user has deleted all of it.
function extend(paragraph, added) {
  const { line } = paragraph;
  paragraph.before += added;
  if (line.firstChild instanceof Text) line.firstChild.appendData(added);
  else line.replaceChildren(added);
}

const lettersOf = (text) => text.replace(/\s/g, "").length;

// The words of the text that came, in their order: a paragraph begins when its first word does, which is known only once that
// word is whole. Their texts, joined, are the text without its white space.
export function takeStarts(words) {
  for (const { text, start } of words) {
    const begun = paragraphs.find((paragraph) => paragraph.letters === letters.timed);
    if (begun) Object.assign(begun, { start, letters: null });
    if (begun) setTime(begun.element.querySelector(".time"), start);
    letters.timed += text.length;
  }
}

// The engine hears the audio again from its start.
export function timeAgain() {
  letters.timed = 0;
}

// A line between paragraphs: the model was started again at `seconds` of the audio.
export function showRestart(seconds) {
  const line = document.createElement("div");
  line.className = "restart";
  line.lang = language;
  line.dataset.text = wording("transcript.restart", { at: clock(seconds) });
  line.setAttribute("role", "note");
  line.setAttribute("aria-label", line.dataset.text);
  box.append(line);
  isBroken = true;
}

// The whole text, with its words, [{text, start, end, confidence, alternatives}], the last two if they are known, and
// where the model was started again, in seconds; wasEdited: by the user, when it was shown before. A text that the user has
// edited while it came stays, and only takes the times.
export function show(whole, words, restarts = [], wasEdited = false) {
  if (edited || isEditable()) return takeTimes(whole, words);
  const follows = isAtEnd();
  const { scrollTop } = box;
  const marks = [...restarts];
  clear();
  edited = wasEdited;
  let from = 0; // of the paragraph in the whole text
  let to = 0; // end of the last word in the whole text
  let inParagraph = [];
  const end = (until) => {
    const paragraph = begin(whole.slice(from, until), inParagraph[0]?.start ?? null);
    paragraph.words = inParagraph;
    [from, inParagraph] = [until, []];
  };
  for (const { text, start, end: ends, confidence, alternatives } of words) {
    const before = inParagraph.at(-1);
    const at = whole.indexOf(text, to);
    const isAfterMark = marks.length > 0 && ends > marks[0];
    if (before && (start - before.end > PAUSE || isAfterMark || isLong(whole.slice(from, to)))) end(at);
    if (isAfterMark) showRestart(marks.shift());
    inParagraph.push({ text, start, end: ends, at: at - from, confidence, alternatives });
    to = at + text.length;
  }
  if (from < whole.length) end(whole.length);
  showSureness();
  box.scrollTop = follows ? box.scrollHeight : scrollTop;
}

// --- how sure the model is of a word

const SURE = 0.8; // a word's confidence, 0 to 1, from which it is not marked
const DOUBTFUL = 0.5; // below it, it is marked more

function showSureness() {
  const ranges = { unsure: [], doubtful: [] };
  for (const paragraph of paragraphs) {
    for (const word of paragraph.words) {
      if (!(word.confidence < SURE)) continue;
      const range = rangeOf({ paragraph, word });
      if (range) ranges[word.confidence < DOUBTFUL ? "doubtful" : "unsure"].push(range);
    }
  }
  for (const name in ranges) mark(name, ranges[name]);
}

// Tells of a word what else its tokens might have been; null: nothing.
function showSurenessOf(word) {
  const line = document.getElementById("sureness");
  line.hidden = !word?.alternatives?.length;
  if (line.hidden) return;
  const others = word.alternatives
    .map(([own, ...rest]) => [own, rest.filter(({ text, probability }) => text.trim() && probability >= 0.01)])
    .filter(([, rest]) => rest.length)
    .map(([own, rest]) => wording("sureness.for", { text: own.text.trim(), others: facts(rest.map(inPercent)) }));
  const values = { text: word.text, percent: percent(word.confidence), others: others.join("; ") };
  line.textContent = others.length ? wording("sureness.others", values) : wording("sureness.alone", values);
}

const inPercent = ({ text, probability }) =>
  wording("sureness.other", { text: text.trim(), percent: percent(probability) });

// The words' places are those in the text as it came, which the paragraphs have as `before`.
function takeTimes(whole, words) {
  let first = 0; // of the paragraph in the whole text
  let to = 0;
  const found = words.map((word) => {
    const at = whole.indexOf(word.text, to);
    to = at + word.text.length;
    return { ...word, at };
  });
  for (const paragraph of paragraphs) {
    const after = first + paragraph.before.length;
    const own = found.filter(({ at }) => at >= first && at < after).map((word) => ({ ...word, at: word.at - first }));
    const text = paragraph.line.textContent;
    Object.assign(paragraph, { words: retimed(own, paragraph.before, text), before: text, isComing: false });
    first = after;
  }
  showSureness();
  timeline = null;
}

function isAtEnd() {
  return box.scrollHeight - box.scrollTop - box.clientHeight < AT_END;
}

function isLong(text) {
  return text.length > LONG && SENTENCE_ENDS.test(text);
}

// isComing: more of it may follow, and its words come at the end.
function begin(text, start, isComing = false) {
  const element = document.createElement("div");
  element.className = "paragraph";
  if (start !== null) element.append(timeButton(start));
  const line = document.createElement("p");
  line.dir = "auto";
  line.append(text);
  element.append(line);
  box.append(element);
  const paragraph = {
    element,
    line,
    start,
    words: [],
    before: text,
    isComing,
    letters: isComing ? letters.come : null,
  };
  paragraphs.push(paragraph);
  isBroken = false;
  makeEditable(line, isEditable());
  return paragraph;
}

// The style sheet writes the time, so that it is not copied with the words.
function timeButton(start) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "time numbers";
  button.tabIndex = -1; // the arrow keys reach every word
  setTime(button, start);
  return button;
}

function setTime(button, start) {
  button.dataset.time = clock(start);
  button.setAttribute("aria-label", wording("transcript.hear", { at: clock(start) }));
  button.onclick = () => heard.seek?.(start);
}

// --- hearing: a word that is clicked, and the word that is played

// seek(seconds): plays from there; toggle(): plays or pauses; now(): the second that is played. null if there is no audio.
export function playable(seek, toggle = null, now = null) {
  heard = { seek, toggle, now };
  box.classList.toggle("playable", Boolean(seek));
}

// Marks the word that is played, and keeps it in view; seconds: null if nothing is.
export function played(seconds) {
  const at = seconds === null ? -1 : indexAt(seconds);
  if (at === playedAt) return;
  playedAt = at;
  showSurenessOf(at < 0 ? null : timeline[at].word);
  const range = at < 0 ? null : rangeOf(timeline[at]);
  mark("played", range ? [range] : []);
  if (!range) return;
  const [word, frame] = [range.getBoundingClientRect(), box.getBoundingClientRect()];
  if (word.top < frame.top || word.bottom > frame.bottom) box.scrollTop += word.top - frame.top - frame.height / 3;
}

function times() {
  timeline ??= paragraphs.flatMap((paragraph) => paragraph.words.map((word) => ({ paragraph, word })));
  return timeline;
}

// The last word that began before, or -1.
function indexAt(seconds) {
  let [low, high] = [0, times().length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timeline[middle].word.start <= seconds) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function rangeOf({ paragraph, word }) {
  const node = paragraph.line.firstChild;
  if (!node || word.at + word.text.length > node.length) return null;
  const range = new Range();
  range.setStart(node, word.at);
  range.setEnd(node, word.at + word.text.length);
  return range;
}

function mark(name, ranges) {
  if (!globalThis.CSS?.highlights) return; // an old browser: the words are only not marked
  if (ranges.length) CSS.highlights.set(name, new Highlight(...ranges));
  else CSS.highlights.delete(name);
}

function placeAt({ clientX, clientY }) {
  if (document.caretPositionFromPoint) {
    const place = document.caretPositionFromPoint(clientX, clientY);
    return place && [place.offsetNode, place.offset];
  }
  const range = /** @type {any} */ (document).caretRangeFromPoint?.(clientX, clientY);
  return range && [range.startContainer, range.startOffset];
}

box.addEventListener("click", (event) => {
  if (!heard.seek || isEditable() || !getSelection().isCollapsed) return;
  const [node, offset] = placeAt(event) ?? [];
  const paragraph = paragraphs.find(({ line }) => line.firstChild === node);
  const word = paragraph?.words.findLast(({ at }) => at <= offset);
  if (word) goToWord(word);
});

// The keys: space plays or pauses, left and right go from word to word.
box.addEventListener("keydown", (event) => {
  if (!heard.seek || event.target !== box || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.key === " ") heard.toggle();
  else if (step && times().length) goToWord(wordAfter(heard.now(), step));
  else return;
  event.preventDefault();
});

// The word `step` words after the one at `seconds`.
function wordAfter(seconds, step) {
  const rounding = 0.001; // of the player's position
  const at = Math.max(0, Math.min(timeline.length - 1, indexAt(seconds + rounding) + step));
  return timeline[at].word;
}

// A word that the user chose is heard, and screen readers say how sure it is. They are silent while the audio plays on.
function goToWord(word) {
  heard.seek(word.start);
  showSurenessOf(word);
  const line = document.getElementById("sureness");
  if (!line.hidden) say(line.textContent);
}

// --- finding

let found = []; // ranges
let shown = -1; // which of them was gone to

// Marks all places of a text. Returns how many there are.
export function find(wanted) {
  found = [];
  shown = -1;
  const lower = wanted.toLocaleLowerCase();
  for (const { line } of lower ? paragraphs : []) {
    const node = line.firstChild;
    const within = line.textContent.toLocaleLowerCase();
    for (let at = within.indexOf(lower); at >= 0 && node; at = within.indexOf(lower, at + lower.length)) {
      if (at + lower.length > node.length) break;
      const range = new Range();
      range.setStart(node, at);
      range.setEnd(node, at + lower.length);
      found.push(range);
    }
  }
  mark("found", found);
  mark("found-now", []);
  return found.length;
}

// Goes to the next place that was found, or the one before (-1). Returns its number, from 1.
export function goTo(step) {
  if (!found.length) return 0;
  shown = (shown + step + found.length) % found.length;
  const range = found[shown];
  mark("found-now", [range]);
  range.startContainer.parentElement.scrollIntoView({ block: "nearest" });
  const [place, frame] = [range.getBoundingClientRect(), box.getBoundingClientRect()];
  if (place.top < frame.top || place.bottom > frame.bottom) box.scrollTop += place.top - frame.top - frame.height / 3;
  return shown + 1;
}

// --- editing: words that stay the same keep their times

export function isEditable() {
  return box.classList.contains("editable");
}

export function editable(on) {
  box.classList.toggle("editable", on);
  for (const { line } of paragraphs) makeEditable(line, on);
  if (on) paragraphs[0]?.line.focus();
}

function makeEditable(line, on) {
  if (on) line.contentEditable = "plaintext-only";
  else line.removeAttribute("contenteditable");
  line.spellcheck = on;
}

box.addEventListener("input", ({ target }) => {
  const paragraph = paragraphs.find(({ line }) => line === target);
  if (!paragraph) return;
  edited = true;
  paragraph.line.normalize();
  if (paragraph.isComing) return;
  const after = paragraph.line.textContent;
  paragraph.words = retimed(paragraph.words, paragraph.before, after);
  paragraph.before = after;
  timeline = null;
  showSureness();
});
