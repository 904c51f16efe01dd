// What screen readers say of text that comes: whole words, some seconds' worth at a time.

const EVERY = 3000; // ms between two texts
const MOST = 500; // characters of a text
const LINES = 5; // that are kept

const log = document.getElementById("spoken");
let source = () => ""; // gives the text so far
let upTo = 0; // characters of it that were said

// Says the text that `text()` gives, from its start, as it grows.
export function follow(text) {
  [source, upTo] = [text, 0];
  log.replaceChildren();
}

// The text is whole: says what is left.
export function finish() {
  tell(source().length);
}

// Says a sentence of the page.
export function say(sentence) {
  add(sentence, document.documentElement.lang);
}

setInterval(() => tell(source().lastIndexOf(" ")), EVERY);

function tell(end) {
  if (end <= upTo) return;
  const fresh = source().slice(upTo, end);
  upTo = end;
  // A file's text may come faster than anyone listens: then only its latest words.
  add(fresh.length > MOST ? fresh.slice(-MOST).replace(/^\S*/, "…") : fresh, "");
}

function add(text, lang) {
  const line = document.createElement("p");
  Object.assign(line, { lang, textContent: text });
  log.append(line);
  while (log.childElementCount > LINES) log.firstChild.remove();
}
