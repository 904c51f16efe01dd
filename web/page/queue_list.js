// What the page shows of the queue of files.

import { left } from "./progress.js";
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

// items: see queue.js. act: what the buttons do with an item, {again, cancel, move, remove}; and goOn, which begins what
// waits, or null.
export function show(items, act) {
  // Of a single file that does not wait, the rest of the page says all.
  element("queue").hidden = items.length < 2 && items[0]?.state !== "waiting";
  const focused = document.activeElement?.id;
  element("queue-list").replaceChildren(...items.map((item) => row(item, items, act)));
  if (focused) element(focused)?.focus(); // the button that was pressed was made anew
  element("queue-go-on").hidden = !act.goOn || !items.some(({ state }) => state === "waiting");
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

function row(item, items, act) {
  const made = document.createElement("li");
  made.dataset.state = item.state;
  const name = document.createElement("span");
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

function actions(item, items, act) {
  const made = (name, label, press) => {
    const it = button(label, press);
    it.id = `queue-${item.id}-${name}`;
    it.setAttribute("aria-label", wording("queue.button", { label, name: item.name }));
    return it;
  };
  const cancel = made("cancel", wording("queue.cancel"), () => act.cancel(item));
  const remove = made("remove", wording("queue.remove"), () => act.remove(item));
  if (item.state === "done") {
    const stem = item.name.replace(/^.*\//, "").replace(/\.[^.]*$/, "");
    const kinds = Object.entries(item.texts);
    return [
      ...kinds.map(([kind, text]) =>
        made(kind, wording("queue.save", { kind: `.${kind}` }), () => save(text, `${stem}.${kind}`)),
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
