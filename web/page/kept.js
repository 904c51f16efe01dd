// The list of the models that are kept on this machine: open, check and remove them.

import { remembered } from "../remembered.js";
import { list, remove, verify } from "../worker/store/models.js";
import { latest } from "./latest.js";
import { folded } from "./more.js";
import { onPhase, state } from "./state.js";
import * as view from "./view.js";
import { showCard } from "./welcome.js";
import { date, facts, put, reason, size, wording } from "./words.js";

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);

const listed = latest(list);
let open = (_) => {}; // opens the model that a request names

// Shows the list, and from then on opens its models with `opener`.
export async function showKept(opener = open) {
  open = opener;
  let models = [];
  try {
    models = await listed();
  } catch (error) {
    view.notKept(reason(error));
  }
  if (!models) return;
  const begun = models.filter(({ record, kept }) => !record || kept > 0); // of the others, nothing is there but the name
  element("kept-list").replaceChildren(...begun.map(entry));
  markOpen();
  const whole = models.find((model) => model.record && isWhole(model));
  showCard(whole ? requestOf(whole) : null);
  await showRoom();
}

// The one that is open cannot be opened.
function markOpen() {
  for (const use of element("kept-list").querySelectorAll("[data-model]"))
    use.disabled = use.dataset.model === state.model?.kept;
}
onPhase(markOpen);

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
  name.textContent = record?.name ?? wording("kept.damaged");
  const about = document.createElement("span");
  about.className = "quiet numbers";
  about.textContent = record
    ? facts([
        whole ? size(bytes) : wording("kept.so_far", { amount: amountOf(kept, bytes) }),
        wording("kept.since", { date: date(record.added) }),
        record.address ? wording("kept.from", { host: new URL(record.address).host }) : wording("kept.from_files"),
      ])
    : wording("kept.found_again");
  const button = (key, press) => labelled(wording(key), record?.name ?? model, press);
  const drop = button("kept.remove", () => discard(model, record?.name ?? wording("kept.model")));
  item.append(name, " ", about);
  if (!record) {
    item.append(drop);
    return item;
  }
  const use = button(whole ? "kept.use" : "kept.finish", () => open(requestOf({ model, record })));
  use.dataset.model = model;
  const others = [button("kept.check", () => check(model, record.name)), drop];
  item.append(...folded(`kept-${model}`, use, others, (label) => labelled(label, record.name, () => {})));
  return item;
}

function labelled(label, name, press) {
  const button = view.button(label, press);
  button.setAttribute("aria-label", wording("button.of", { label, name }));
  return button;
}

function amountOf(kept, bytes) {
  return bytes ? wording("amount.of", { done: size(kept), whole: size(bytes) }) : size(kept);
}

async function check(model, name) {
  const say = (sentence) => put(element("kept-status"), sentence);
  say(wording("kept.checking", { name }));
  try {
    let shown = 0;
    const { pieces, damaged } = await verify(model, (done, total) => {
      if (done - shown < total / 20) return;
      shown = done;
      say(wording("kept.checking_at", { name, amount: amountOf(done, total) }));
    });
    say(
      damaged
        ? wording("kept.damaged_pieces", { name, damaged, pieces })
        : wording("kept.right", { name, count: pieces }),
    );
  } catch (error) {
    say(reason(error));
  }
  showKept();
}

async function discard(model, name) {
  try {
    await remove(model);
    put(element("kept-status"), wording("kept.removed", { name }));
  } catch (error) {
    put(element("kept-status"), reason(error));
  }
  showKept();
}

async function showRoom() {
  element("kept-origin").textContent = location.host;
  const isFramed = window.top !== window && ![...(location.ancestorOrigins ?? [null])].every((o) => o === origin);
  element("kept-frame").hidden = !isFramed;
  element("kept-own").href = location.href;
  const { usage } = (await navigator.storage?.estimate?.()) ?? {};
  element("kept-room").textContent = usage === undefined ? "" : wording("kept.uses", { size: size(usage) });
  const persisted = await navigator.storage?.persisted?.();
  element("kept-persisted").textContent = persisted ? wording("kept.promised") : wording("kept.may_go");
}

// Asks the browser not to delete what is kept. It may ask the user, so only after a click.
export function askToPersist() {
  if (navigator.userActivation?.isActive ?? true) navigator.storage?.persist?.().catch(() => {});
}
