// A text: paragraphs with their times in the margin. transcript_box.js shows one of them; another may grow meanwhile.
//
// A paragraph is one text node, however many words it has, so that hours of text stay fast. Words are places in it:
// {text, start, end, at}, start and end in seconds, `at` in characters of the paragraph.

import { retimed } from "./retiming.js";
import { clock, language, wording } from "./words.js";

const PAUSE = 2; // seconds without a word, after which a new paragraph begins
const LONG = 600; // characters, after which the next sentence begins a new paragraph
const SENTENCE_ENDS = /\p{Sentence_Terminal}["'”’»›)\]}」』）】]*\s*$/u;

// Whether the words of two paragraphs would become one, as the user has taken the space between them. Chinese, Japanese
// and Thai have none there.
const LETTER = "[^\\s\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Thai}]";
const [ENDS, BEGINS] = [new RegExp(`${LETTER}$`, "u"), new RegExp(`^${LETTER}`, "u")];
const areGlued = (before, after) => ENDS.test(before) && BEGINS.test(after);

export class Transcript {
  box = null; // the element in which it is shown
  isEditable = false;

  constructor() {
    this.clear();
  }

  clear() {
    // {element, line, start, words, before: its text when `words` were right, isComing: its words are not known yet}
    this.paragraphs = [];
    this.nodes = []; // the paragraphs' elements and the marks between them
    this.marks = []; // {line, seconds}, where the model was started again
    this.isEdited = false;
    this._letters = { come: 0, timed: 0 }; // of the text that came, and of the words whose times came; no white space
    this._untimed = []; // {paragraph, letters: of the text before it}, until its first word's start comes
    this._isBroken = false; // a mark was set, after which a new paragraph begins
    this._lastSeconds = 0; // of the audio that the text so far covers
    this._timeline = null; // what `times` gives; null if it must be made again
    this.box?.replaceChildren();
  }

  get text() {
    const texts = this.paragraphs.map(({ line }) => line.textContent);
    if (!this.isEdited) return texts.join("");
    return texts.reduce((all, text) => all + (areGlued(all, text) ? " " : "") + text, "");
  }

  // The paragraphs' texts, trimmed, and when each begins: [{text, start}], start in seconds or null.
  get blocks() {
    return this.paragraphs
      .map(({ line, words, start }) => ({ text: line.textContent.trim(), start: words[0]?.start ?? start }))
      .filter(({ text }) => text);
  }

  // [{text, start, end}], in seconds.
  get words() {
    return this.paragraphs.flatMap(({ words }) => words.map(({ text, start, end }) => ({ text, start, end })));
  }

  // [{paragraph, word}], by time.
  get times() {
    this._timeline ??= this.paragraphs.flatMap((paragraph) => paragraph.words.map((word) => ({ paragraph, word })));
    return this._timeline;
  }

  // An incomplete text as the user has edited it, for `take`: {text, paragraphs: [{text, before, start}]}.
  get edits() {
    const paragraphs = this.paragraphs.map(({ line, before, start }) => ({ text: line.textContent, before, start }));
    return { text: this.text, paragraphs };
  }

  // The texts of an incomplete transcription that is kept, as web/worker/sessions/log.js reads them, and what `takeStarts` had
  // found for them.
  take(texts, starts = []) {
    for (const { text, covered, paragraphs } of texts) {
      if (paragraphs) this._takeEdits(paragraphs, covered);
      else this.append(text, covered);
    }
    const known = new Map(starts.map(({ letters, start }) => [letters, start]));
    this._untimed = this._untimed.filter(({ paragraph, letters }) => {
      if (known.has(letters)) setTime(paragraph, known.get(letters));
      return !known.has(letters);
    });
  }

  _takeEdits(paragraphs, covered) {
    this.clear();
    for (const { text, before, start } of paragraphs) {
      const paragraph = this._begin(text, start, true);
      paragraph.before = before;
      this._letters.come += lettersOf(before);
    }
    this._lastSeconds = covered;
    this.isEdited = true;
  }

  // Text that has come. seconds: of the audio that the text covers with it; null if it belongs to no audio.
  append(added, seconds = null) {
    const last = this.paragraphs.at(-1);
    const paused = seconds !== null && seconds - this._lastSeconds > PAUSE;
    if (!last) {
      this._begin(added, seconds, true);
    } else if (added.trim() && (paused || this._isBroken || isLong(last.line.textContent))) {
      const words = added.trimStart();
      extend(last, added.slice(0, -words.length)); // a line begins with its first word
      this._begin(words, seconds, true);
    } else {
      extend(last, added);
    }
    this._letters.come += lettersOf(added);
    if (added.trim() && seconds !== null) this._lastSeconds = seconds;
  }

  // The words of the text that came, in their order: a paragraph begins when its first word does, which is known only once
  // that word is whole. Their texts, joined, are the text without its white space. Returns what is new, for `take`: [{letters: of
  // the text before a paragraph, start}].
  takeStarts(words) {
    const found = [];
    for (const { text, start } of words) {
      while (this._untimed.length && this._untimed[0].letters <= this._letters.timed) {
        const { paragraph, letters } = this._untimed.shift();
        if (letters !== this._letters.timed) continue; // it begins within a word
        setTime(paragraph, start);
        found.push({ letters, start });
      }
      this._letters.timed += text.length;
    }
    return found;
  }

  // The engine hears the audio again from its start.
  timeAgain() {
    this._letters.timed = 0;
  }

  // A line between paragraphs: the model was started again at `seconds` of the audio.
  showRestart(seconds) {
    const line = document.createElement("div");
    line.className = "restart";
    line.setAttribute("role", "note");
    const mark = { line, seconds };
    setMark(mark);
    this.marks.push(mark);
    this._add(line);
    this._isBroken = true;
  }

  // The whole text, with its words, [{text, start, end, confidence, alternatives}], the last two if they are known, and
  // where the model was started again, in seconds; wasEdited: by the user, when it was shown before. A text that the user
  // has edited while it came stays, and only takes the times.
  show(whole, words, restarts = [], wasEdited = false) {
    if (this.isEdited || this.isEditable) return this._takeTimes(whole, words);
    const marks = [...restarts];
    this.clear();
    this.isEdited = wasEdited;
    let from = 0; // of the paragraph in the whole text
    let to = 0; // end of the last word in the whole text
    let inParagraph = [];
    const end = (until) => {
      const paragraph = this._begin(whole.slice(from, until), inParagraph[0]?.start ?? null);
      paragraph.words = inParagraph;
      [from, inParagraph] = [until, []];
    };
    for (const { text, start, end: ends, confidence, alternatives } of words) {
      const before = inParagraph.at(-1);
      const at = whole.indexOf(text, to);
      const isAfterMark = marks.length > 0 && ends > marks[0];
      if (before && (start - before.end > PAUSE || isAfterMark || isLong(whole.slice(from, to)))) end(at);
      if (isAfterMark) this.showRestart(marks.shift());
      inParagraph.push({ text, start, end: ends, at: at - from, confidence, alternatives });
      to = at + text.length;
    }
    if (from < whole.length) end(whole.length);
  }

  // The words' places are those in the text as it came, which the paragraphs have as `before`.
  _takeTimes(whole, words) {
    let first = 0; // of the paragraph in the whole text
    let to = 0;
    const found = words.map((word) => {
      const at = whole.indexOf(word.text, to);
      to = at + word.text.length;
      return { ...word, at };
    });
    for (const paragraph of this.paragraphs) {
      const after = first + paragraph.before.length;
      const own = found.filter(({ at }) => at >= first && at < after).map((word) => ({ ...word, at: word.at - first }));
      const text = paragraph.line.textContent;
      Object.assign(paragraph, { words: retimed(own, paragraph.before, text), before: text, isComing: false });
      first = after;
    }
    this._timeline = null;
  }

  // The user has edited a paragraph: words that stay the same keep their times.
  edited(paragraph) {
    this.isEdited = true;
    paragraph.line.normalize();
    if (paragraph.isComing) return;
    const after = paragraph.line.textContent;
    paragraph.words = retimed(paragraph.words, paragraph.before, after);
    paragraph.before = after;
    this._timeline = null;
  }

  editable(on) {
    this.isEditable = on;
    for (const { line } of this.paragraphs) makeEditable(line, on);
  }

  // What the page says in it, in the page's language.
  reword() {
    for (const paragraph of this.paragraphs) if (timeOf(paragraph)) setTime(paragraph, paragraph.start);
    for (const mark of this.marks) setMark(mark);
  }

  // isComing: more of it may follow, and its words come at the end.
  _begin(text, start, isComing = false) {
    const element = document.createElement("div");
    element.className = "paragraph";
    const line = document.createElement("p");
    line.dir = "auto";
    line.append(text);
    if (start !== null) element.append(timeButton());
    element.append(line);
    const paragraph = { element, line, start, words: [], before: text, isComing };
    if (start !== null) setTime(paragraph, start);
    this.paragraphs.push(paragraph);
    if (isComing && start !== null) this._untimed.push({ paragraph, letters: this._letters.come });
    if (this.isEditable) makeEditable(line, true);
    this._add(element);
    this._isBroken = false;
    return paragraph;
  }

  _add(node) {
    this.nodes.push(node);
    this.box?.append(node);
  }
}

// A single text node, however long it gets; it is missing where the user has deleted all of it.
function extend(paragraph, added) {
  const { line } = paragraph;
  paragraph.before += added;
  if (line.firstChild instanceof Text) line.firstChild.appendData(added);
  else line.replaceChildren(added);
}

const lettersOf = (text) => text.replace(/\s/g, "").length;

function isLong(text) {
  return text.length > LONG && SENTENCE_ENDS.test(text);
}

// The style sheet writes the time, so that it is not copied with the words.
function timeButton() {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "time numbers";
  button.tabIndex = -1; // the arrow keys reach every word
  return button;
}

const timeOf = ({ element, line }) => (element.firstChild === line ? null : element.firstChild);

function setTime(paragraph, start) {
  const button = timeOf(paragraph);
  paragraph.start = start;
  button.dataset.time = clock(start);
  button.setAttribute("aria-label", wording("transcript.hear", { at: clock(start) }));
}

function setMark({ line, seconds }) {
  line.lang = language;
  line.dataset.text = wording("transcript.restart", { at: clock(seconds) });
  line.setAttribute("aria-label", line.dataset.text);
}

function makeEditable(line, on) {
  if (on) line.contentEditable = "plaintext-only";
  else line.removeAttribute("contenteditable");
  line.spellcheck = on;
}
