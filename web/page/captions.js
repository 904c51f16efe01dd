// Captions: the last words, large, in a window that stays above the others (Document Picture-in-Picture), or in the page
// where the browser has no such window.

import { rememberChoice } from "./choices.js";
import { engine } from "./engine.js";
import { listenIn } from "./keys.js";
import { onPhase, state } from "./state.js";
import { onRemoved } from "./transcribing.js";
import { onLanguage, wording } from "./words.js";

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);
const [section, words, size, contrast] = ["captions", "caption-words", "caption-size", "caption-contrast"].map(element);

const LETTERS = 600; // that are kept: more than a window shows
const WINDOW = { width: 720, height: 240 };

const windows = () => /** @type {any} */ (globalThis).documentPictureInPicture;
let isScrolling = false; // at the next frame
const place = document.createComment("captions"); // where the section is in the page
section.before(place);

export async function showCaptions() {
  section.hidden = false;
  showPressed();
  scroll();
  if (!windows() || windows().window) return section.scrollIntoView({ block: "nearest" });
  let opened;
  try {
    opened = await windows().requestWindow(WINDOW);
  } catch {
    return; // the browser does not allow it, as in a frame: the captions are in the page
  }
  const inside = opened.document;
  inside.title = wording("captions.window");
  showLanguage();
  const style = new opened.CSSStyleSheet();
  for (const { cssRules } of document.styleSheets)
    for (const { cssText } of cssRules) style.insertRule(cssText, style.cssRules.length);
  inside.adoptedStyleSheets = [style];
  inside.body.className = "captions-window";
  inside.body.append(section);
  listenIn(opened, closeCaptions);
  opened.addEventListener("pagehide", () => {
    place.after(section);
    hide();
  });
  scroll();
}

// The window's sentences change with the page's: words.js.
function showLanguage() {
  const { lang, dir } = document.documentElement;
  const opened = windows()?.window;
  if (opened) Object.assign(opened.document.documentElement, { lang, dir });
}

function hide() {
  section.hidden = true;
  showPressed();
}

export function closeCaptions() {
  if (windows()?.window) windows().window.close();
  else hide();
}

function showPressed() {
  element("show-captions").setAttribute("aria-pressed", !section.hidden);
}

// The end is in view, from the next frame on: to ask for the height lays out the whole page, hours of text too.
function scroll() {
  if (section.hidden || isScrolling) return;
  isScrolling = true;
  section.ownerDocument.defaultView.requestAnimationFrame(() => {
    isScrolling = false;
    words.scrollTop = words.scrollHeight;
  });
}

function look() {
  Object.assign(section.dataset, { size: size.value, contrast: contrast.value });
  scroll();
}

engine.on("text", ({ text }) => {
  if (state.phase !== "transcribing") return;
  const all = words.textContent + text;
  words.textContent = all.length > LETTERS ? all.slice(-LETTERS).replace(/^\S*\s/, "") : all;
  scroll();
});

onPhase(() => {
  if (state.phase === "transcribing" && !state.job?.covered) words.textContent = "";
});

// It may be that of the last words.
onRemoved(() => {
  if (!state.job) words.textContent = "";
});

// Otherwise the window stays when the page is reloaded, and nothing works in it.
addEventListener("pagehide", () => windows()?.window?.close());

onLanguage(showLanguage);
new ResizeObserver(scroll).observe(words); // a window is made larger, or a phone is turned

for (const choice of [size, contrast]) rememberChoice(choice, look);
look();
element("show-captions").addEventListener("click", () => (section.hidden ? showCaptions() : closeCaptions()));
element("close-captions").addEventListener("click", closeCaptions);
