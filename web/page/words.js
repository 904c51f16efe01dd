// The page's sentences, in the user's language. web/words has a table for each language: {key: sentence}, where a sentence
// has {names} of values, or is one for each plural form of the language, {one, other, ...}, chosen by the value `count`.
// The page's English words are also in index.html, so that the page is painted before a table has come.
//
// Sentences of the engine, the Workers and web/audio are English. A table may translate them too, under "messages":
// {English sentence with {names}: sentence}.

import { Failure } from "../failure.js";
import { remembered } from "../remembered.js";

const root = document.documentElement;
export let language = root.lang; // language.js has chosen it
export const languages = /** @type {any} */ (document.querySelector('meta[name="languages"]')).content.split(" ");

// By the link or by the user, not by the browser's own languages.
export const isChosen = () => new URLSearchParams(location.search).has("lang") || remembered("language") !== null;

let formats = formatsOf(language);

// Marks of Unicode around English in a sentence of another language.
const [ENGLISH, END] = ["\u2066", "\u2069"];
const MARKED = new RegExp(`${ENGLISH}([^${END}]*)${END}`);
const NAME = /\{(\w+)\}/;

let table = {};
let english = {};
let asked = language; // by the user, last
let messages = []; // [{pattern, names, sentence}]
const listeners = [];

// Resolves once the page is in its language.
export const ready = load();

async function load() {
  const ofOwn = language === "en" ? {} : fetched(language).catch(() => ({}));
  const tables = await Promise.all([fetched("en"), ofOwn]);
  english = table = tables[0];
  if (language !== "en") take(tables[1]);
  delete root.dataset.words;
}

// Changes the page's language, in place; keep: called once its table has come. Throws if it does not come.
export async function choose(wanted, keep) {
  asked = wanted;
  const own = wanted === "en" ? {} : await fetched(wanted);
  if (asked !== wanted) return; // the user has chosen yet another one
  keep();
  language = root.lang = wanted;
  const locale = /** @type {any} */ (new Intl.Locale(wanted));
  root.dir = (locale.getTextInfo?.() ?? locale.textInfo)?.direction ?? "ltr"; // as language.js does
  formats = formatsOf(wanted);
  take(own);
  for (const listener of listeners) listener();
}

// Calls `listener` whenever the page has got another language.
export function onLanguage(listener) {
  listeners.push(listener);
}

// What a table lacks is English.
function take(own) {
  const before = table;
  table = { ...english, ...own };
  messages = Object.entries(own.messages ?? {}).map(([message, sentence]) => ({ ...patternOf(message), sentence }));
  translate(before);
}

async function fetched(name) {
  const answer = await fetch(new URL(`../words/${name}.json`, import.meta.url));
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer.json();
}

// Of an English sentence: {pattern, names}, the names in the order in which the pattern has their values.
function patternOf(message) {
  const parts = message.split(NAME); // text and names by turns
  const escaped = (text) => text.replace(/[.*+?^$()[\]{}|\\]/g, "\\$&");
  const pattern = parts.map((part, i) => (i % 2 ? "(.+?)" : escaped(part))).join("");
  return { pattern: new RegExp(`^${pattern}$`, "s"), names: parts.filter((_, i) => i % 2) };
}

// --- sentences

// The sentence of a key, with its values: {name: text or number}.
export function wording(key, values = {}) {
  const parts = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, held(value)]));
  return made(() => {
    const entry = table[key];
    const sentence = typeof entry === "object" ? (entry[formats.plurals.select(values.count)] ?? entry.other) : entry;
    return filled(sentence, parts);
  });
}

// values: {name: a function that makes it}.
function filled(sentence, values) {
  return sentence
    .split(NAME)
    .map((part, i) => (i % 2 ? values[part]() : part))
    .join("");
}

// A Failure whose message is in the user's language.
export function failureOf(kind, key, values = {}) {
  return Object.assign(new Failure(kind, wording(key, values)), { isWorded: true });
}

// What went wrong, for the user: the message of a Failure of the page, of a Worker or of the browser.
export function reason(error) {
  return error.isWorded ? error.message : ofEngine(error.message);
}

// A sentence of the engine, a Worker, web/audio or the browser: in the user's language where the table has it, else marked
// as English, for `put`.
export function ofEngine(message) {
  if (!message) return message;
  return made(() => (language === "en" ? message : (translated(message) ?? ENGLISH + message + END)));
}

// null: the table does not have it. The values may be such messages too.
function translated(message) {
  for (const { pattern, names, sentence } of messages) {
    const found = message.match(pattern);
    if (!found) continue;
    const values = found.slice(1).map((value) => translated(value) ?? value);
    return filled(sentence, Object.fromEntries(names.map((name, i) => [name, () => values[i]])));
  }
  return null;
}

// Shows a sentence in an element; what is English in it is marked for screen readers.
export function put(element, sentence) {
  const text = inLanguage(sentence ?? "");
  if (MARKED.test(text)) marked.set(element, text);
  else marked.delete(element);
  element.replaceChildren(
    ...text.split(MARKED).map((part, i) => {
      if (i % 2 === 0) return part;
      const english = document.createElement("span");
      Object.assign(english, { lang: "en", dir: "ltr", textContent: part });
      return english;
    }),
  );
}

// --- what is on the page, when its language changes

// How each sentence was made, by what it says: {sentence: a function that makes it in the page's language}. Whoever shows a
// sentence need not care for a change of the language.
const makers = new Map();
const MOST = 2000; // sentences, after which those are forgotten that are not on the page any more
let mostNow = MOST;
const marked = new WeakMap(); // element -> the sentence that `put` has cut into pieces in it
const ATTRIBUTES = [
  "aria-label",
  "aria-valuetext",
  "placeholder",
  "content",
  "data-empty",
  "data-silent",
  "data-unloaded",
];

function made(make) {
  if (makers.size > mostNow) forgetOld();
  const sentence = make();
  if (!makers.has(sentence.trim())) makers.set(sentence.trim(), make);
  return sentence;
}

// A value of a sentence, so that it can be made again; a text of the user's is as it is.
const held = (value) => makers.get(value) ?? (() => (typeof value === "number" ? number(value) : value));

// What was made in another language, in the page's.
function inLanguage(sentence) {
  const make = makers.get(sentence);
  return make ? made(make) : sentence;
}

function forgetOld() {
  const old = new Map(makers);
  makers.clear();
  const keep = (sentence) => old.has(sentence) && makers.set(sentence, old.get(sentence));
  eachText((_, text) => keep(text));
  mostNow = makers.size + MOST;
}

// What index.html has: data-words is the key of an element's text, in which a child with data-word="name" takes the place of
// {name}; data-words-of are keys of its attributes, “attribute=key” each. All else is known by what it says.
function translate(before) {
  for (const element of /** @type {any} */ (document.querySelectorAll("[data-words]:has(> [data-word])"))) {
    const parts = table[element.dataset.words].split(NAME);
    element.replaceChildren(
      ...parts.map((part, i) => (i % 2 ? element.querySelector(`:scope > [data-word="${part}"]`) : part)),
    );
  }
  const changes = [];
  eachText((element, text, attribute, write) => {
    const pairs = (element.dataset.wordsOf ?? "").split(" ").map((pair) => pair.split("="));
    const key = attribute ? pairs.find(([name]) => name === attribute)?.[1] : element.dataset.words;
    changes.push(() => write(key && before[key] === text ? table[key] : inLanguage(text)));
  });
  for (const change of changes) change();
}

// Calls act(element, text, attribute or null, write) with each text of the page and each attribute that people read or hear.
// Where lang is "", the text is the user's.
function eachText(act) {
  const captions = /** @type {any} */ (globalThis).documentPictureInPicture?.window?.document;
  for (const { documentElement } of [document, captions].filter(Boolean)) {
    const walk = document.createTreeWalker(documentElement, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, (node) =>
      node.parentElement?.getAttribute("lang") === "" || marked.has(node.parentElement)
        ? NodeFilter.FILTER_REJECT
        : NodeFilter.FILTER_ACCEPT,
    );
    for (let node = /** @type {any} */ (walk.nextNode()); node; node = walk.nextNode()) {
      if (node.nodeType === Node.TEXT_NODE) {
        const text = node.data.trim().replace(/\s+/g, " ");
        const write = (words) => {
          if (MARKED.test(words)) put(node.parentElement, words);
          else if (words !== text) node.data = node.data.replace(node.data.trim(), () => words);
        };
        if (/\p{L}/u.test(text)) act(node.parentElement, text, null, write);
      } else {
        if (marked.has(node)) act(node, marked.get(node), null, (words) => put(node, words));
        for (const name of ATTRIBUTES) {
          const text = node.getAttribute(name);
          if (text) act(node, text, name, (words) => words !== text && node.setAttribute(name, words));
        }
      }
    }
  }
}

// --- numbers, sizes, times, lists

// As the user writes numbers and dates: “en-GB”, where the page is in English.
function formatsOf(code) {
  const locale = navigator.languages.find((each) => each.split("-")[0] === code.split("-")[0]) ?? code;
  return { locale, plurals: new Intl.PluralRules(code), numbers: {} };
}

// options: of Intl.NumberFormat, which takes long to make.
function formatted(value, options) {
  return made(() => {
    const { locale, numbers } = formats;
    const name = JSON.stringify(options);
    numbers[name] ??= new Intl.NumberFormat(locale, options);
    return numbers[name].format(value);
  });
}

// digits: after the point, exactly; without them, as many as the number has.
export function number(value, digits = null) {
  const exactly = digits === null ? {} : { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return formatted(value, { useGrouping: "min2", ...exactly });
}

export function size(bytes) {
  if (bytes > 0 && bytes < 1e3) return inUnit(1, "kilobyte", 0); // something is not 0 kB
  const [unit, one, digits] =
    bytes < 1e6 ? ["kilobyte", 1e3, 0] : bytes < 1e9 ? ["megabyte", 1e6, 1] : ["gigabyte", 1e9, 2];
  return inUnit(bytes / one, unit, digits);
}

export const gigabytes = (count, digits) => inUnit(count, "gigabyte", digits);

const inUnit = (value, unit, digits) =>
  formatted(value, { style: "unit", unit, minimumFractionDigits: digits, maximumFractionDigits: digits });

// part: 0 to 1.
export const percent = (part) => formatted(part, { style: "percent" });

// 12 s, or 1:02 min.
export function seconds(count) {
  if (count >= 3600) return wording("time.hours", { clock: clock(count) });
  if (count >= 60) return wording("time.minutes", { clock: clock(count) });
  return wording("time.seconds", { count: number(count, Number.isInteger(count) ? 0 : 1) });
}

// 1:02, or 1:02:03.
export function clock(count) {
  const whole = Math.floor(count);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const two = (part) => String(part).padStart(2, "0");
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(whole % 60)}`;
}

// time: as Date takes it; style: of Intl.DateTimeFormat.
export function date(time, style = undefined) {
  return made(() => new Intl.DateTimeFormat(formats.locale, style).format(new Date(time)));
}

// Names of languages, in the page's language and its alphabet's order: “Arabic, Chinese, ...”.
export function languageNames(codes) {
  return made(() => {
    const names = new Intl.DisplayNames([language], { type: "language" });
    const sorted = codes.map((code) => names.of(code)).sort(new Intl.Collator(language).compare);
    return sorted.join(wording("list.comma"));
  });
}

// “a, b and c”.
export function list(items) {
  const parts = items.map(held);
  return made(() => new Intl.ListFormat(formats.locale).format(parts.map((part) => part())));
}

// Facts in a row.
export function facts(items) {
  const parts = items.filter(Boolean).map(held);
  return made(() => parts.map((part) => part()).join(wording("list.comma")));
}

// Sentences, one after the other.
export function sentences(items) {
  const parts = items.map(held);
  return made(() => parts.map((part) => part()).join(" "));
}

// A language's name in that language.
export function nameOf(code) {
  const name = new Intl.DisplayNames([code], { type: "language" }).of(code);
  return name.charAt(0).toLocaleUpperCase(code) + name.slice(1);
}
