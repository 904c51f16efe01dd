// The list of the models that are kept on this machine: open, check and remove them.

import { list, remove, verify } from "../worker/store/models.js";
import { remembered } from "./remembered.js";
import * as view from "./view.js";
import { showCard } from "./welcome.js";

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);

let open = (_) => {}; // opens the model that a request names

// Shows the list, and from then on opens its models with `opener`.
export async function showKept(opener = open) {
  open = opener;
  let models = [];
  try {
    models = await list();
  } catch (error) {
    view.notKept(error.message);
  }
  element("kept-list").replaceChildren(...models.map(entry));
  element("kept-none").hidden = models.length > 0;
  const whole = models.find((model) => model.record && isWhole(model));
  showCard(whole ? requestOf(whole) : null);
  await showRoom();
}

// The request to open the model that was open last, if all of it is kept; otherwise null.
export async function lastOpened() {
  try {
    const last = (await list()).find((model) => model.model === remembered("model"));
    return last?.record && isWhole(last) ? requestOf(last) : null;
  } catch {
    return null; // showKept tells why nothing can be read
  }
}

function requestOf({ model, record }) {
  return { label: record.name, model: { kept: model }, tokenizer: null };
}

function isWhole({ bytes, kept }) {
  return bytes !== null && kept === bytes;
}

function entry({ model, record, bytes, kept }) {
  const item = document.createElement("li");
  const whole = isWhole({ bytes, kept });
  const name = document.createElement("strong");
  name.textContent = record?.name ?? "A model whose record is damaged";
  const facts = document.createElement("span");
  facts.className = "quiet numbers";
  facts.textContent = record
    ? [
        whole ? view.size(bytes) : `${view.size(kept)}${bytes ? ` of ${view.size(bytes)}` : ""} so far`,
        `since ${new Date(record.added).toLocaleDateString()}`,
        record.address ? `from ${new URL(record.address).host}` : "from files of this machine",
      ].join(", ")
    : "It is found again when it is loaded from its address.";
  const row = document.createElement("div");
  row.className = "row";
  if (record) {
    row.append(
      labelled(whole ? "Use" : "Finish and use", record.name, () => open(requestOf({ model, record }))),
      labelled("Check", record.name, () => check(model, record.name)),
    );
  }
  row.append(labelled("Remove", record?.name ?? model, () => discard(model, record?.name ?? "The model")));
  item.append(name, " ", facts, row);
  return item;
}

function labelled(label, name, press) {
  const button = view.button(label, press);
  button.setAttribute("aria-label", `${label} ${name}`);
  return button;
}

async function check(model, name) {
  const say = (sentence) => {
    element("kept-status").textContent = sentence;
  };
  say(`Checking ${name}…`);
  try {
    let shown = 0;
    const { pieces, damaged } = await verify(model, (done, total) => {
      if (done - shown < total / 20) return;
      shown = done;
      say(`Checking ${name}: ${view.size(done)} of ${view.size(total)}…`);
    });
    say(
      damaged
        ? `${name}: ${damaged} of ${pieces} pieces are damaged. Only they are fetched again when it is opened.`
        : `${name}: all ${pieces} pieces are right.`,
    );
  } catch (error) {
    say(error.message);
  }
  showKept();
}

async function discard(model, name) {
  try {
    await remove(model);
    element("kept-status").textContent = `${name} was removed.`;
  } catch (error) {
    element("kept-status").textContent = error.message;
  }
  showKept();
}

async function showRoom() {
  element("kept-origin").textContent = location.host;
  const isFramed = window.top !== window && ![...(location.ancestorOrigins ?? [null])].every((o) => o === origin);
  element("kept-frame").hidden = !isFramed;
  element("kept-own").href = location.href;
  const { usage } = (await navigator.storage?.estimate?.()) ?? {};
  element("kept-room").textContent = usage === undefined ? "" : `This site uses ${view.size(usage)} now.`;
  const persisted = await navigator.storage?.persisted?.();
  element("kept-persisted").textContent = persisted
    ? "The browser has promised to keep it."
    : "The browser may delete it when the disk gets full, or when this site is not visited for long.";
}

// Asks the browser not to delete what is kept. It may ask the user, so only after a click.
export function askToPersist() {
  if (navigator.userActivation?.isActive ?? true) navigator.storage?.persist?.().catch(() => {});
}
