// What the page shows of the queue of files.

import { left } from "./progress.js";
import { MISSING, OPEN } from "./state.js";
import { button, save } from "./view.js";
import { facts, put, wording } from "./words.js";

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);
// The states of an item, as the summary lists them.
const WORDS = {
  done: "queue.done",
  running: "queue.running",
  reading: "queue.reading",
  waiting: "queue.waiting",
  failed: "queue.failed",
  stopped: "queue.stopped",
};

const SAVE_MS = 300; // between two files that are saved: browsers drop some of many at once

// items: see queue.js. act: what the buttons do with an item, {again, cancel, move, remove, read};
// and goOn, which begins what waits, or null. leftOut: a sentence about what was left out, or null;
// model: modelForSpeech(); shown: the id of the session whose text is shown.
export function show(items, act, leftOut, model, shown) {
  const isWaiting = items.some(({ state }) => state === "waiting");
  // Of a single file that does not wait, the rest of the page says all.
  element("queue").hidden = items.length < 2 && !isWaiting && !leftOut;
  element("left-out").hidden = !leftOut;
  element("left-out").textContent = leftOut ?? "";
  showWaiting(isWaiting && !act.goOn ? model : OPEN);
  offerToSave(items.filter(({ state }) => state === "done"));
  const focused = document.activeElement?.id;
  element("queue-list").replaceChildren(...items.map((item) => row(item, items, act, shown)));
  if (focused) element(focused)?.focus(); // the button that was pressed was made anew
  element("queue-go-on").hidden = !act.goOn || !isWaiting;
  element("queue-go-on").onclick = act.goOn;
  element("queue-summary").textContent = facts(
    Object.entries(WORDS)
      .map(([state, key]) => ({ count: items.filter((item) => item.state === state).length, state: wording(key) }))
      .map((values) => values.count && wording("queue.count", values)),
  );
}

// seconds: until all is done, or null.
export function showLeft(seconds) {
  element("queue-left").textContent = seconds === null ? "" : left(seconds);
}

// Brings an item's row into view.
export function follow({ id }) {
  const [box, row] = [element("queue-list"), element(`queue-${id}`)];
  if (row) box.scrollTop = row.offsetTop - box.offsetTop - (box.clientHeight - row.clientHeight) / 2;
}

// What the files wait for, with the button that gets it: the one of the first minute.
function showWaiting(model) {
  const get = element("get-model");
  element("queue-waits").hidden = model === OPEN;
  element("queue-waits-text").textContent = model === OPEN ? "" : wording("queue.waits");
  element("queue-get").hidden = model !== MISSING;
  element("queue-get").textContent = get.textContent;
  element("queue-get").onclick = () => get.click();
}

// All texts, once there are several.
function offerToSave(done) {
  element("save-all").hidden = done.length < 2;
  for (const kind of ["txt", "srt", "vtt", "tsv"]) {
    const those = done.filter(({ texts }) => texts[kind] !== undefined);
    const press = element(`save-all-${kind}`);
    press.hidden = !those.length;
    press.onclick = async () => {
      for (const { name, texts } of those) {
        save(texts[kind], `${stem(name)}.${kind}`);
        await new Promise((resolve) => {
          setTimeout(resolve, SAVE_MS);
        });
      }
    };
  }
}

const stem = (name) => name.replace(/^.*\//, "").replace(/\.[^.]*$/, "");

// The item's name, with its number among those of the same name.
function nameOf(item, items) {
  const same = items.filter(({ name }) => name === item.name);
  return same.length < 2 ? item.name : wording("queue.numbered", { name: item.name, number: same.indexOf(item) + 1 });
}

function row(item, items, act, shown) {
  const made = document.createElement("li");
  made.id = `queue-${item.id}`;
  made.dataset.state = item.state;
  const session = item.audio?.session;
  made.ariaCurrent = String(Boolean(session) && session.id === shown);
  const name =
    item.state === "done"
      ? pressable(item, items, "read", wording("sessions.open"), () => act.read(item))
      : document.createElement("span");
  name.textContent = item.name;
  name.dir = "auto";
  const state = document.createElement("span");
  state.className = "quiet";
  state.textContent = wording(WORDS[item.state]);
  const buttons = document.createElement("div");
  buttons.className = "row";
  buttons.append(...actions(item, items, act));
  made.append(name, " ", state, buttons);
  if (item.message) {
    const message = document.createElement("p");
    message.className = item.state === "failed" ? "" : "quiet";
    put(message, item.message);
    made.append(message);
  }
  return made;
}

// A button of an item; name: of what it does.
function pressable(item, items, name, label, press) {
  const made = button(label, press);
  made.id = `queue-${item.id}-${name}`;
  made.setAttribute("aria-label", wording("queue.button", { label, name: nameOf(item, items) }));
  return made;
}

function actions(item, items, act) {
  const made = (name, label, press) => pressable(item, items, name, label, press);
  const cancel = made("cancel", wording("queue.cancel"), () => act.cancel(item));
  const remove = made("remove", wording("queue.remove"), () => act.remove(item));
  if (item.state === "done") {
    const kinds = Object.entries(item.texts);
    return [
      ...kinds.map(([kind, text]) =>
        made(kind, wording("queue.save", { kind: `.${kind}` }), () => save(text, `${stem(item.name)}.${kind}`)),
      ),
      remove,
    ];
  }
  if (item.state === "waiting") {
    const waiting = items.filter(({ state }) => state === "waiting");
    const [up, down] = [
      made("earlier", wording("queue.earlier"), () => act.move(item, -1)),
      made("later", wording("queue.later"), () => act.move(item, 1)),
    ];
    up.disabled = item === waiting[0];
    down.disabled = item === waiting.at(-1);
    return [up, down, cancel];
  }
  return item.state === "reading" || item.state === "running"
    ? [cancel]
    : [made("again", wording("queue.again"), () => act.again(item)), remove];
}
