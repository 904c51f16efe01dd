// Words with times -> SubRip and WebVTT.

const LONGEST_LINE = 42; // characters; what television subtitles keep to
const LONGEST_CUE = 6; // seconds
const PAUSE = 1; // seconds between words after which a new caption begins

// whole: the transcript, which the words are without its white space. Chinese and Japanese words have none between them.
function cues(words, whole) {
  const found = [];
  let at = 0;
  for (const { text, start, end } of words) {
    const begins = whole.indexOf(text, at);
    const gap = begins > at ? " " : "";
    at = begins + text.length;
    const cue = found.at(-1);
    if (
      cue &&
      start - cue.end < PAUSE &&
      end - cue.start <= LONGEST_CUE &&
      cue.text.length + gap.length + text.length <= LONGEST_LINE &&
      !/[.?!。？！]$/.test(cue.text)
    ) {
      cue.text += gap + text;
      cue.end = end;
    } else {
      found.push({ text, start, end });
    }
  }
  return found;
}

function clock(seconds, point) {
  const ms = Math.round(1000 * seconds);
  const part = (value, digits) => String(Math.floor(value)).padStart(digits, "0");
  return `${part(ms / 3600000, 2)}:${part((ms / 60000) % 60, 2)}:${part((ms / 1000) % 60, 2)}${point}${part(ms % 1000, 3)}`;
}

export function srt(words, whole) {
  return cues(words, whole)
    .map(({ text, start, end }, i) => `${i + 1}\n${clock(start, ",")} --> ${clock(end, ",")}\n${text}\n`)
    .join("\n");
}

export function vtt(words, whole) {
  const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `WEBVTT\n\n${cues(words, whole)
    .map(({ text, start, end }) => `${clock(start, ".")} --> ${clock(end, ".")}\n${escaped(text)}\n`)
    .join("\n")}`;
}
