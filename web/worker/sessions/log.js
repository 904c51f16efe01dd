// What is known of a session, besides its audio: a text file, to which lines of JSON are added and never changed. A crash
// leaves at worst an unfinished last line. Each line is an object with one or more of:
//
//   begun: when, as an ISO date; name: of the audio     in the first line
//   title: as the user called it
//   run: {model, delay_ms, left_silence_tokens}         a transcription begins, and replaces an earlier one
//   text, tokens, from, covered                         text that came; its token ids; how many came before them; seconds
//                                                       of the audio that have their text
//   starts: [{letters, start}]                          when paragraphs begin, in seconds, each behind so many letters of the
//                                                       text: Transcript.takeStarts
//   gap: {at, seconds}                                  the system dropped sound, after `at` seconds of the recording
//   result, subtitles                                   the transcription is complete: the JSON of `voxtab transcribe`; again,
//                                                       with edited: true, when the user has edited it
//   edits: {text, paragraphs: [{text, before, start}]}  the text until now as the user has edited it: Transcript.edits
//   stopped: true                                       the user has stopped it

const SLICE_MS = 8; // of work at once

export const line = (entry) => `${JSON.stringify(entry)}\n`;

// {begun, name, title, run, texts: [{text, covered}, and paragraphs, if it was edited], starts, text, tokens, covered, gaps,
// result, subtitles, stopped}; null where nothing is known. text is that of the result, or of all texts; tokens are theirs,
// or none if some are missing. Never throws: what is no line of a log is left out. It lets the thread go now
// and then: three hours of text have 30,000 lines.
export async function parse(log) {
  const known = { begun: null, name: null, title: null, gaps: [], texts: [], starts: [], ...NOTHING_TRANSCRIBED };
  let tokens = [];
  let isWhole = true;
  let since = performance.now();
  for (const text of log.split("\n")) {
    if (performance.now() - since > SLICE_MS) {
      await new Promise((resolve) => setTimeout(resolve));
      since = performance.now();
    }
    const entry = parsed(text);
    if (typeof entry.begun === "string") known.begun = entry.begun;
    if (typeof entry.name === "string") known.name = entry.name;
    if (typeof entry.title === "string") known.title = entry.title;
    if (isObject(entry.gap) && isNumber(entry.gap.at) && isNumber(entry.gap.seconds)) known.gaps.push(entry.gap);
    if (isObject(entry.run)) {
      Object.assign(known, NOTHING_TRANSCRIBED, { run: entry.run, texts: [], starts: [] });
      tokens = [];
      isWhole = true;
    }
    if (typeof entry.text === "string" && isNumber(entry.covered)) {
      known.texts.push({ text: entry.text, covered: entry.covered });
      known.covered = entry.covered;
      isWhole &&= entry.from === tokens.length && Array.isArray(entry.tokens) && entry.tokens.every(isToken);
      if (isWhole) tokens.push(...entry.tokens);
    }
    if (Array.isArray(entry.starts) && entry.starts.every(isStart)) known.starts.push(...entry.starts);
    if (isEdits(entry.edits)) known.texts = [{ ...entry.edits, covered: known.covered }];
    if (entry.stopped === true) known.stopped = true;
    if (isObject(entry.result) && typeof entry.result.text === "string" && Array.isArray(entry.result.words))
      Object.assign(known, { result: entry.result, subtitles: entry.subtitles ?? null });
  }
  const text = known.result?.text ?? known.texts.map((one) => one.text).join("");
  return { ...known, text, tokens: isWhole ? tokens : [] };
}

const NOTHING_TRANSCRIBED = { run: null, covered: 0, result: null, subtitles: null, stopped: false };
const isObject = (value) => typeof value === "object" && value !== null;
const isNumber = (value) => Number.isFinite(value) && value >= 0;
const isStart = (value) => isObject(value) && isNumber(value.letters) && isNumber(value.start);
const isEdits = (value) =>
  isObject(value) &&
  typeof value.text === "string" &&
  Array.isArray(value.paragraphs) &&
  value.paragraphs.every(
    (each) =>
      isObject(each) &&
      typeof each.text === "string" &&
      typeof each.before === "string" &&
      (each.start === null || isNumber(each.start)),
  );
const isToken = (value) => Number.isInteger(value) && value >= 0;

function parsed(text) {
  try {
    const entry = JSON.parse(text);
    return isObject(entry) ? entry : {};
  } catch {
    return {};
  }
}
