// The names of the files that the user saves.

import { AUDIO } from "./files.js";
import { wording } from "./words.js";

export const OWN = ["microphone", "tab"]; // names of recordings: listening.js

// What a text with times can be saved as, beside .txt: `FORMATS` of app/voxtab/subtitles.py.
export const SUBTITLES = ["srt", "vtt", "tsv"];

// Of an audio file's text: its name, with its folders and without its ending; or as the user has called it, where a point
// may stand at any place. Of a recording: when it began, as a Date.
export function stemOf(name, begun = new Date()) {
  if (OWN.includes(name)) return wording("reading.recording_of", { when: stamp(begun) });
  return name.replace(AUDIO, "");
}

// Without folders.
export const fileName = (path) => path.replace(/^.*\//, "");

// The date and time, here, as a file's name can have it, and as names sort: 2026-11-29 23.15.
export function stamp(time) {
  const two = (part) => String(part).padStart(2, "0");
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("-");
  return `${day} ${two(time.getHours())}.${two(time.getMinutes())}`;
}
