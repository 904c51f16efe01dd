// The tab's title: how far the page is, for whoever looks at another tab.

import { onLanguage, percent, wording } from "./words.js";

const parts = { live: null, part: null };

// The clock of a recording, or null.
export function ofRecording(clock) {
  show("live", clock && `● ${clock}`);
}

// Of a file or a download: 0 to 1, or null.
export function ofPart(part) {
  show("part", part === null ? null : percent(Math.floor(100 * part) / 100));
}

function show(name, text) {
  if (parts[name] === text) return;
  parts[name] = text;
  write();
}

function write() {
  const shown = parts.live ?? parts.part;
  document.title = shown ? `${shown} – Voxtab` : wording("page.title");
}

onLanguage(write);
