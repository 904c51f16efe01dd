// The files that were dropped or chosen: audio, a model's files, or neither.

import { AUDIO_ENDINGS } from "../config.js";
import { failureOf, language } from "./words.js";

// Of a model, whatever lies beside it. Which files make one, Python says: app/voxtab/weights/layouts.py.
const MODEL = /\.gguf$|\.safetensors$|\.safetensors\.index\.json$|^(tekken|config|params)\.json$/i;
export const AUDIO = new RegExp(`\\.(${AUDIO_ENDINGS.join("|")})$`, "i");
// What people have beside audio and models.
const DOCUMENT = /\.(pdf|txt|md|docx?|odt|rtf|xlsx?|pptx?|csv|tsv|html?|jpe?g|png|gif|webp|svg|heic|zip|srt|vtt)$/i;

// For the inputs that take audio. Not every system knows the kinds of all endings.
export const ACCEPTED = ["audio/*", "video/*", ...AUDIO_ENDINGS.map((ending) => `.${ending}`)].join(",");

// dropped: a DataTransfer. Resolves with [{file, name}] of all files in it and in its folders; names of files in folders
// have the folder's path. In the order of the names, as people count: part 2 before part 10.
export async function droppedFiles(dropped) {
  // The DataTransfer is empty once this function has waited.
  const entries = [...dropped.items].map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile()).filter(Boolean);
  const found = await Promise.all(entries.map((entry) => (entry instanceof File ? named(entry) : filesIn(entry, ""))));
  return inOrder(found.flat());
}

// files: of an <input>, of which a folder may be chosen.
export function chosenFiles(files) {
  return inOrder([...files].map((file) => named(file)));
}

function named(file) {
  return { file, name: file.webkitRelativePath || file.name };
}

async function filesIn(entry, path) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, name: path + file.name }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    // A browser may give a hundred at once.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found.flat();
    found.push(...(await Promise.all(some.map((inner) => filesIn(inner, `${path}${entry.name}/`)))).flat());
  }
}

function inOrder(files) {
  const { compare } = new Intl.Collator(language, { numeric: true });
  return files.sort((one, other) => compare(one.name, other.name));
}

// files: [{file, name}]. Returns {audio: [{name, source}], model: [File...], tokenizer: File or null, others: [name...]},
// others being files that are left out. Throws a Failure.
export function sortFiles(files) {
  if (!files.length) throw failureOf("files", "files.none");
  const isAudio = ({ file }) => AUDIO.test(file.name) || /^(audio|video)\//.test(file.type);
  const audio = files.filter(isAudio).map(({ file, name }) => ({ name, source: file }));
  let rest = files.filter((file) => !isAudio(file)).map(({ file }) => file);
  // Beside audio, only what is certainly a model is one.
  const others = rest.filter(audio.length ? ({ name }) => !MODEL.test(name) : isNeither);
  rest = rest.filter((file) => !others.includes(file));
  const tokenizer = tokenizerAmong(rest);
  const model = rest.filter((file) => file !== tokenizer);
  // Shards may have any name. A single unknown file is most likely meant to be audio, and the decoder says if it is
  // not.
  const [first] = model;
  if (rest.length === 1 && first && !MODEL.test(first.name) && !/shard|part|\.a[a-z]$/i.test(first.name))
    return { audio: [...audio, { name: first.name, source: first }], model: [], tokenizer: null, others: [] };
  return { audio, model, tokenizer, others: others.map(({ name }) => name) };
}

// A tekken.json, or the only .json file that is nothing else. Throws a Failure.
function tokenizerAmong(files) {
  const named = files.find(({ name }) => /^tekken\.json$/i.test(name));
  const unknown = files.filter(({ name }) => /\.json$/i.test(name) && !MODEL.test(name));
  if (!named && unknown.length > 1) throw failureOf("files", "files.many_json");
  return named ?? unknown[0] ?? null;
}

// Whether a file has weights: of a model's files, all but the JSON beside them.
export const hasWeights = ({ name }) => !/\.json$/i.test(name);

function isNeither({ name }) {
  return name.startsWith(".") || DOCUMENT.test(name) || /^(thumbs\.db|desktop\.ini)$/i.test(name);
}
