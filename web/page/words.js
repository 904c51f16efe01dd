// The page's sentences, in the user's language. web/words has a table for each language: {key: sentence}, where a sentence
// has {names} of values, or is one for each plural form of the language, {one, other, ...}, chosen by the value `count`.
// The page's English words are also in index.html, so that the page is painted before a table has come.
//
// Sentences of the engine, the Workers and web/audio are English. A table may translate them too, under "messages":
// {English sentence with {names}: sentence}.

import { Failure } from "../failure.js";
import { remembered } from "../remembered.js";

const root = document.documentElement;
export const language = root.lang; // language.js has chosen it
export const languages = /** @type {any} */ (document.querySelector('meta[name="languages"]')).content.split(" ");

// By the link or by the user, not by the browser's own languages.
export const isChosen = new URLSearchParams(location.search).has("lang") || remembered("language") !== null;

// As the user writes numbers and dates: “en-GB”, where the page is in English.
const locale = navigator.languages.find((each) => each.split("-")[0] === language.split("-")[0]) ?? language;
const plurals = new Intl.PluralRules(language);

// Marks of Unicode around English in a sentence of another language.
const [ENGLISH, END] = ["\u2066", "\u2069"];
const MARKED = new RegExp(`${ENGLISH}([^${END}]*)${END}`);
const NAME = /\{(\w+)\}/;

let table = {};
let messages = []; // [{pattern, names, sentence}]

// Resolves once the page is in its language.
export const ready = load();

// What a table lacks is English.
async function load() {
  const ofOwn = language === "en" ? {} : fetched(language).catch(() => ({}));
  const [english, own] = await Promise.all([fetched("en"), ofOwn]);
  table = { ...english, ...own };
  messages = Object.entries(own.messages ?? {}).map(([message, sentence]) => ({ ...patternOf(message), sentence }));
  if (language !== "en") translate();
  delete root.dataset.words;
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
  const entry = table[key];
  const sentence = typeof entry === "object" ? (entry[plurals.select(values.count)] ?? entry.other) : entry;
  return filled(sentence, values);
}

function filled(sentence, values) {
  return sentence
    .split(NAME)
    .map((part, i) => (i % 2 ? shown(values[part]) : part))
    .join("");
}

const shown = (value) => (typeof value === "number" ? number(value) : value);

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
  if (language === "en" || !message) return message;
  return translated(message) ?? ENGLISH + message + END;
}

// null: the table does not have it. The values may be such messages too.
function translated(message) {
  for (const { pattern, names, sentence } of messages) {
    const found = message.match(pattern);
    if (!found) continue;
    const values = found.slice(1).map((value) => translated(value) ?? value);
    return filled(sentence, Object.fromEntries(names.map((name, i) => [name, values[i]])));
  }
  return null;
}

// Shows a sentence in an element; what is English in it is marked for screen readers.
export function put(element, sentence) {
  element.replaceChildren(
    ...(sentence ?? "").split(MARKED).map((part, i) => {
      if (i % 2 === 0) return part;
      const english = document.createElement("span");
      Object.assign(english, { lang: "en", dir: "ltr", textContent: part });
      return english;
    }),
  );
}

// --- index.html

// data-words: the key of an element's text, in which a child with data-word="name" takes the place of {name};
// data-words-of: keys of its attributes, “attribute=key” each.
function translate() {
  for (const element of /** @type {any} */ (document.querySelectorAll("[data-words]"))) {
    if (element === root) continue;
    const parts = table[element.dataset.words].split(NAME);
    element.replaceChildren(
      ...parts.map((part, i) => (i % 2 ? element.querySelector(`:scope > [data-word="${part}"]`) : part)),
    );
  }
  for (const element of /** @type {any} */ (document.querySelectorAll("[data-words-of]"))) {
    for (const pair of element.dataset.wordsOf.split(" ")) {
      const [attribute, key] = pair.split("=");
      element.setAttribute(attribute, table[key]);
    }
  }
}

// --- numbers, sizes, times, lists

// digits: after the point, exactly; without them, as many as the number has.
export function number(value, digits = null) {
  const exactly = digits === null ? {} : { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(locale, /** @type {any} */ ({ useGrouping: "min2", ...exactly })).format(value);
}

export function size(bytes) {
  const [unit, one, digits] =
    bytes < 1e6 ? ["kilobyte", 1e3, 0] : bytes < 1e9 ? ["megabyte", 1e6, 1] : ["gigabyte", 1e9, 2];
  return inUnit(bytes / one, unit, digits);
}

export const gigabytes = (count, digits) => inUnit(count, "gigabyte", digits);

function inUnit(value, unit, digits) {
  const exactly = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(locale, { style: "unit", unit, ...exactly }).format(value);
}

// part: 0 to 1.
export function percent(part) {
  return new Intl.NumberFormat(locale, { style: "percent" }).format(part);
}

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
  return new Intl.DateTimeFormat(locale, style).format(new Date(time));
}

// Names of languages, in the page's language and its alphabet's order: “Arabic, Chinese, ...”.
export function languageNames(codes) {
  const names = new Intl.DisplayNames([language], { type: "language" });
  return facts(codes.map((code) => names.of(code)).sort(new Intl.Collator(language).compare));
}

// “a, b and c”.
export function list(items) {
  return new Intl.ListFormat(locale).format(items);
}

// Facts in a row.
export function facts(items) {
  return items.filter(Boolean).join(wording("list.comma"));
}

// A language's name in that language.
export function nameOf(code) {
  const name = new Intl.DisplayNames([code], { type: "language" }).of(code);
  return name.charAt(0).toLocaleUpperCase(code) + name.slice(1);
}
