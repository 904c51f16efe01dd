// Hearing the transcript's audio again: its waveform, which is where one clicks, and the word that is played.

import { rememberChoice } from "./choices.js";
import * as transcript from "./transcript_box.js";
import { Wave } from "./waveform.js";
import { clock, wording } from "./words.js";

const STEP = 5; // seconds that an arrow key moves by
const SAME_SECONDS = 0.5; // by which the browser's length may differ from ours

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);

const sound = new Audio();
let seconds = null; // of the audio, or null if there is none to hear
let decode = null; // of a file that was not decoded: as `offer` takes it
const wave = new Wave(element("wave"), (to) => {
  sound.currentTime = to;
});

// Offers the audio. blob: what the browser can play; peaks: its Peaks; length: in seconds; decoded(): a promise of the same as
// WAV, or null.
export function offer(blob, peaks, length, decoded = null) {
  withdraw();
  seconds = length;
  decode = decoded;
  load(blob);
  element("player").hidden = false;
  element("wave").setAttribute("aria-valuemax", Math.round(seconds));
  wave.show(peaks, seconds);
  transcript.playable(hear, toggle, () => sound.currentTime);
  show();
}

function load(blob) {
  sound.src = URL.createObjectURL(blob);
  setSpeed();
}

function setSpeed() {
  sound.playbackRate = Number(element("speed").value);
}

export function withdraw() {
  if (seconds === null) return;
  sound.pause();
  URL.revokeObjectURL(sound.src);
  sound.removeAttribute("src");
  seconds = null;
  decode = null;
  element("player").hidden = true;
  transcript.playable(null);
  transcript.played(null);
}

// Plays from a second on.
function hear(from) {
  sound.currentTime = from;
  play();
}

function toggle() {
  if (sound.paused) play();
  else sound.pause();
}

function play() {
  sound.play().catch(() => {
    if (!decode) element("played").textContent = wording("player.failed");
  });
}

// A file whose header says little: the browser guesses its length, and then plays other places than were asked for. Some files
// it cannot play at all. So it plays what we have decoded.
async function takeDecoded() {
  const mine = decode;
  const wav = await mine().catch(() => null); // the file is gone
  if (mine !== decode) return;
  decode = null;
  if (!wav) return show();
  const { currentTime, paused } = sound;
  URL.revokeObjectURL(sound.src);
  load(wav);
  sound.currentTime = Math.min(currentTime, seconds);
  if (!paused) play();
}

sound.addEventListener("loadedmetadata", () => {
  if (decode && Math.abs(sound.duration - seconds) > SAME_SECONDS) takeDecoded();
});
sound.addEventListener("error", () => {
  if (decode) takeDecoded();
});

// Shows where it is, at each frame while it plays.
function show() {
  if (seconds === null) return;
  const { currentTime, paused } = sound;
  element("play").textContent = paused ? wording("player.play") : wording("player.pause");
  element("played").textContent = `${clock(currentTime)} / ${clock(seconds)}`;
  element("wave").setAttribute("aria-valuenow", Math.round(currentTime));
  element("wave").setAttribute("aria-valuetext", clock(currentTime));
  wave.heard(currentTime);
  transcript.played(paused && currentTime === 0 ? null : currentTime);
  if (!paused) requestAnimationFrame(show);
}

for (const event of ["play", "pause", "seeked", "ended"]) sound.addEventListener(event, show);

element("play").addEventListener("click", toggle);
rememberChoice(element("speed"), setSpeed);

element("wave").addEventListener("keydown", (event) => {
  const to = {
    ArrowLeft: sound.currentTime - STEP,
    ArrowRight: sound.currentTime + STEP,
    Home: 0,
    End: seconds,
  }[event.key];
  if (to !== undefined) sound.currentTime = Math.max(0, Math.min(seconds, to));
  else if (event.key === " ") toggle();
  else return;
  event.preventDefault();
});
