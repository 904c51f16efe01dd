// What the page shows. Knows the elements, and nothing of the engine.

import { srt, vtt } from "./captions.js";

const element = (id) => document.getElementById(id);
const DELAYS = [...Array.from({ length: 15 }, (_, i) => 80 * (i + 1)), 2400];
const SPOKEN_EVERY = 3000; // ms: a screen reader gets new text in whole words, a few at a time

const transcript = element("transcript");
let focusFollows = false;
let spokenUpTo = 0; // characters of the transcript that were given to the screen reader

// --- state

// state: loading, ready, transcribing, done or error; sentence: what goes on, or null to leave it.
export function state(name, sentence) {
  document.documentElement.dataset.state = name;
  if (sentence) element("status").textContent = sentence;
}

export function status(sentence) {
  element("status").textContent = sentence;
}

// What can be pressed now. speak, stop: the button's words, or null.
export function controls({ speak, stop, busy }) {
  const [speaking, stopping] = [element("speak"), element("stop")];
  // Whoever pressed one of the two finds the keyboard on the next one that can be pressed.
  if ([speaking, stopping].includes(document.activeElement)) focusFollows = true;
  else if (document.activeElement !== document.body) focusFollows = false;
  speaking.disabled = !speak;
  stopping.hidden = !stop;
  stopping.textContent = stop ?? "";
  for (const id of ["audio-file", "again", "transcribe"]) element(id).disabled = busy;
  if (focusFollows && (stop || speak)) (stop ? stopping : speaking).focus();
}

export function warning(sentence) {
  element("warning").textContent = sentence ?? "";
  element("warning").hidden = !sentence;
}

// A sentence, with a button that tries again where that makes sense; null: nothing is wrong any more.
export function error(sentence, retry = null) {
  element("error-text").textContent = sentence ?? "";
  element("error").hidden = !sentence;
  element("retry").hidden = !retry;
  element("retry").onclick = retry;
}

// Resolves with true or false. items: what would be fetched, and from where.
export function ask(text, items, yes, no) {
  element("question-text").textContent = text;
  element("question-list").replaceChildren(
    ...items.map((item) => {
      const line = document.createElement("li");
      line.textContent = item;
      return line;
    }),
  );
  element("confirm").textContent = yes;
  element("decline").textContent = no;
  element("question").hidden = false;
  element("question-text").focus();
  return new Promise((resolve) => {
    const answer = (value) => () => {
      element("question").hidden = true;
      resolve(value);
    };
    element("confirm").onclick = answer(true);
    element("decline").onclick = answer(false);
  });
}

// --- progress, level, a note on both

// text: in words, or null for no progress. total 0: unknown.
export function progress(text, done = 0, total = 0) {
  element("progress").hidden = text === null;
  element("amount").textContent = text ?? "";
  const bar = element("bar");
  if (total > 0) {
    bar.max = total;
    bar.value = done;
  } else {
    bar.removeAttribute("value");
  }
}

// seconds recorded so far, peak 0..1; null: the microphone is off.
export function level(seconds, peak = 0) {
  element("live").hidden = seconds === null;
  if (seconds === null) return;
  element("clock").textContent = clock(seconds);
  // Ears and meters count in decibels: -50 dB is silence in a room.
  const percent = Math.round(100 * Math.min(1, Math.max(0, 1 + (20 * Math.log10(peak + 1e-9)) / 50)));
  element("level").setAttribute("aria-valuenow", percent);
  element("level-bar").style.transform = `scaleX(${percent / 100})`;
}

export function note(sentence) {
  element("note").textContent = sentence ?? "";
  element("note").hidden = !sentence;
}

export function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export function seconds(count) {
  if (count >= 60) return `${clock(count)} min`;
  return `${Number.isInteger(count) ? count : count.toFixed(1)} s`;
}

export function size(bytes) {
  if (bytes < 1e6) return `${Math.round(bytes / 1e3)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

// --- transcript

// An empty transcript for a recording, or a file; the one before moves to the earlier ones, with its recording if that
// may still be wanted and is not the same.
export function begin(before, recording) {
  if (transcript.textContent || (before?.unfinished && before.recording && before.recording !== recording))
    keep(transcript.textContent, before);
  transcript.textContent = "";
  element("spoken").replaceChildren();
  spokenUpTo = 0;
  element("actions").hidden = true;
}

export function append(text) {
  const atEnd = transcript.scrollHeight - transcript.scrollTop - transcript.clientHeight < 40;
  if (transcript.firstChild)
    transcript.firstChild.appendData(text); // one text node, however long it gets
  else transcript.append(text);
  if (atEnd) transcript.scrollTop = transcript.scrollHeight;
}

export function text(whole) {
  if (whole !== undefined && whole !== transcript.textContent) transcript.textContent = whole;
  return transcript.textContent;
}

setInterval(() => speak(transcript.textContent.lastIndexOf(" ")), SPOKEN_EVERY);

function speak(end) {
  if (end <= spokenUpTo) return;
  const line = document.createElement("p");
  line.textContent = transcript.textContent.slice(spokenUpTo, end);
  spokenUpTo = end;
  const log = element("spoken");
  log.append(line);
  while (log.childElementCount > 5) log.firstChild.remove();
}

// The end of a transcription: what can be done with it. words: null if it is incomplete.
export function finished({ name, words, recording, again }) {
  speak(transcript.textContent.length);
  const stem = name.replace(/\.[^.]*$/, "");
  const hasText = transcript.textContent.trim() !== "";
  element("actions").hidden = !hasText && !recording && !again;
  for (const id of ["copy", "save-txt"]) element(id).hidden = !hasText;
  for (const id of ["save-srt", "save-vtt"]) element(id).hidden = !words?.length;
  element("copy").onclick = () => copy(transcript);
  element("save-txt").onclick = () => save(`${transcript.textContent.trim()}\n`, `${stem}.txt`);
  element("save-srt").onclick = () => save(srt(words, transcript.textContent), `${stem}.srt`);
  element("save-vtt").onclick = () => save(vtt(words, transcript.textContent), `${stem}.vtt`);
  element("save-wav").hidden = !recording;
  element("save-wav").onclick = () => save(recording.wav(), `${stem}.wav`);
  element("again").hidden = !again;
  element("again").onclick = again;
}

function keep(words, { name, unfinished, recording }) {
  const item = document.createElement("article");
  const text = document.createElement("p");
  text.textContent = words.trim();
  const title = document.createElement("h3");
  title.textContent = unfinished ? `${name} (incomplete)` : name;
  const row = document.createElement("div");
  row.className = "row";
  if (words) row.append(button("Copy", () => copy(text)));
  if (unfinished && recording) row.append(button("Save recording", () => save(recording.wav(), `${name}.wav`)));
  item.append(title, text, row);
  element("earlier").hidden = false;
  element("earlier").querySelector("summary").after(item);
}

function button(label, press) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.onclick = press;
  return made;
}

async function copy(from) {
  try {
    await navigator.clipboard.writeText(from.textContent.trim());
    status("Copied.");
  } catch {
    // in an iframe without the permission
    getSelection().selectAllChildren(from);
    status("The text is selected: copy it with the keyboard.");
  }
}

function save(content, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content]));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// --- model and settings

// hint: for where the text will be, if there is more to say than that.
export function model(sentence, hint = "") {
  element("model").textContent = sentence;
  transcript.dataset.empty = `The text appears here. ${hint}`;
}

// Audio that waits for a press, or null.
export function offer(name, press = null) {
  element("transcribe").hidden = !name;
  element("transcribe").textContent = `Transcribe ${name}`;
  element("transcribe").onclick = press;
}

let defaultSilence = element("left-silence").min;
const chosen = { delay: false, "left-silence": false }; // by the user: a model's defaults do not replace it
for (const ms of DELAYS) element("delay").append(new Option(`${ms} ms`, ms, ms === 480, ms === 480));
for (const id in chosen)
  element(id).addEventListener("change", () => {
    chosen[id] = true;
  });

element("left-silence").addEventListener("change", ({ target }) => {
  if (target.value !== "" && target.validity.valid) return;
  target.value = defaultSilence;
  chosen["left-silence"] = false;
  error(
    `The silence before the audio is a whole number from ${target.min} to ${target.max}: it is ${defaultSilence} again.`,
  );
});

// From the page's address. Returns a sentence if the values are none that the model knows.
export function chooseSettings(delay, leftSilence) {
  const wrong = [];
  if (delay !== null) {
    if (DELAYS.includes(Number(delay))) {
      element("delay").value = Number(delay);
      chosen.delay = true;
    } else {
      wrong.push(`The address asks for a delay of ${delay} ms, which the model does not know: 480 is used.`);
    }
  }
  if (leftSilence !== null) {
    const silence = element("left-silence");
    if (
      !/^\d+$/.test(leftSilence) ||
      Number(leftSilence) < Number(silence.min) ||
      Number(leftSilence) > Number(silence.max)
    ) {
      wrong.push(
        `The address asks for left_silence=${leftSilence}: a number from ${silence.min} to ${silence.max} is needed, so it is left out.`,
      );
    } else {
      silence.value = leftSilence;
      chosen["left-silence"] = true;
    }
  }
  return wrong.join(" ") || null;
}

export function defaults(delay, leftSilence) {
  for (const option of element("delay").options) {
    option.text = `${option.value} ms${Number(option.value) === delay ? " (recommended)" : ""}`;
  }
  if (!chosen.delay) element("delay").value = delay;
  defaultSilence = leftSilence;
  if (!chosen["left-silence"]) element("left-silence").value = leftSilence;
}

export function settings() {
  const silence = element("left-silence");
  return {
    delay_ms: Number(element("delay").value),
    left_silence_tokens: silence.value === "" || !silence.validity.valid ? null : Number(silence.value),
  };
}
