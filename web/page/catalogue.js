// The models that Voxtab knows: models/catalogue.json, which `voxtab models` reads too. The first is the one that the page
// offers with one button.

import { failureOf, ofEngine } from "./words.js";

const HUB = "https://huggingface.co";

const catalogue = fetch(new URL("../models/catalogue.json", import.meta.url))
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`HTTP ${answer.status}`))))
  .catch(({ message }) => {
    throw failureOf("network", "models.list_failed", { reason: ofEngine(message) });
  });

// A promise of [{name, repository, revision, file, tokenizer, gb, licence, gpu_full_gb, ...}]; app/voxtab/native/hub/catalogue.py
// says what each is. Rejects with a Failure.
export const known = catalogue.then(({ models }) => models);
known.catch(() => {}); // who awaits it says so

// A promise of the codes of the languages that Voxtral Mini 4B Realtime knows, as Mistral says. Rejects as `known` does.
export const spoken = catalogue.then(({ languages }) => languages);
spoken.catch(() => {});

export function addressOf({ repository, revision, file }) {
  return `${HUB}/${repository}/resolve/${revision}/${file}`;
}

// The request to open a known model. If it carries no vocabulary, its tekken.json is in the same folder.
export function requestOf(model) {
  return { label: model.file, model: { url: addressOf(model) }, tokenizer: null };
}
