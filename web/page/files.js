// Sorts the files that were dropped or chosen: audio, a model's files, or neither.

import { Failure } from "../failure.js";

const AUDIO = /\.(wav|mp3|m4a|mp4|aac|ogg|oga|opus|flac|webm|mkv|mov|aif|aiff|caf|3gp)$/i;

// {audio: File}, or {model: [File...], tokenizer: File or null}; model may be empty. Throws Failure.
export function sortFiles(files) {
  const [first] = files;
  if (!first) throw new Failure("files", "That was not a file: drop an audio file, or a model's files.");
  const isAudio = (file) => AUDIO.test(file.name) || /^(audio|video)\//.test(file.type);
  const tokenizers = files.filter((file) => /\.json$/i.test(file.name));
  const model = files.filter((file) => !tokenizers.includes(file) && !isAudio(file));
  if (files.some(isAudio)) {
    if (files.length > 1) throw new Failure("files", "Drop one audio file at a time, and no other files with it.");
    return { audio: first };
  }
  if (tokenizers.length > 1)
    throw new Failure("files", "There is more than one .json file: drop only the model's tekken.json.");
  const whole = model.filter((file) => /\.gguf$/i.test(file.name));
  if (whole.length && model.length > whole.length) {
    throw new Failure(
      "files",
      `There are other files beside ${whole[0].name}: drop one .gguf file, or all shards of one model.`,
    );
  }
  if (whole.length > 1 && !whole.every((file) => /-\d+-of-\d+\.gguf$/i.test(file.name))) {
    throw new Failure("files", "There is more than one .gguf file: drop one.");
  }
  // Shards may have any name. A single unknown file is most likely meant to be audio, and the decoder says if it is
  // not.
  if (model.length === 1 && !whole.length && !tokenizers.length && !/shard|part|\.a[a-z]$/i.test(first.name)) {
    return { audio: first };
  }
  return { model, tokenizer: tokenizers[0] ?? null };
}

export function isFolder(item) {
  return item.webkitGetAsEntry?.()?.isDirectory ?? false;
}
