// What the page shows of the queue of files.

import { remade } from "./focus.js";
import { folded } from "./more.js";
import { fileName, SUBTITLES, stamp, stemOf } from "./naming.js";
import { left } from "./progress.js";
import { MISSING, OPEN } from "./state.js";
import { button, error, jsonOf, offerModel, save, saveSubtitles } from "./view.js";
import { facts, put, reason, wording } from "./words.js";

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

// The formats that a text without times has too: what they have of the command line's JSON.
const TEXTS = { txt: ({ text }) => `${text.trim()}\n`, json: jsonOf };
const KINDS = ["txt", ...SUBTITLES, "json"];
const isOver = ({ state }) => ["failed", "stopped"].includes(state); // without its whole text
const rows = new WeakMap(); // of an item: {row, key: what it shows}
const LIBRARY = new URL("../client-zip/client-zip.js", import.meta.url).href; // tools/build_site puts it there

// items: see queue.js. act: what the buttons do with an item, {again, cancel, move, remove, read}, remove also with several;
// subtitlesOf(item), a promise of {srt, vtt, tsv}; and goOn, which begins what waits, or null. leftOut: a sentence about what
// was left out, or null; model: modelForSpeech(); shown: the id of the session whose text is shown.
export function show(items, act, leftOut, model, shown) {
  const isWaiting = items.some(({ state }) => state === "waiting");
  element("left-out").hidden = !leftOut;
  put(element("left-out"), leftOut);
  showWaiting(isWaiting && !act.goOn ? model : OPEN);
  offerToSave(
    items.filter(({ state }) => state === "done"),
    act,
  );
  const [over, clear] = [items.filter(isOver), element("queue-clear")];
  clear.onclick = () => act.remove(...over);
  const make = () => {
    // Of a single file that does not wait, the rest of the page says all.
    element("queue").hidden = items.length < 2 && !isWaiting && !leftOut;
    clear.hidden = over.length < 2;
    showRows(items, act, shown);
  };
  remade(element("queue-list"), make, element("audio-file"), [clear]);
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
  element("queue-waits").hidden = model === OPEN;
  element("queue-waits-text").textContent = model === OPEN ? "" : wording("queue.waits");
  offerModel("queue-get", model === MISSING);
}

// All texts, once there are several.
function offerToSave(done, act) {
  element("save-all").hidden = done.length < 2;
  for (const kind of KINDS) {
    const those = done.filter((item) => kindsOf(item).includes(kind));
    const press = element(`save-all-${kind}`);
    press.hidden = !those.length;
    press.onclick = () => saveAll(those, kind, act);
  }
}

// The formats that an item's text can be saved in.
const kindsOf = ({ written: { result } }) => (result.words.length ? KINDS : Object.keys(TEXTS));

// In one file, because browsers ask before a page saves several.
async function saveAll(items, kind, act) {
  if (items.length === 1) return saveOne(items[0], kind, act);
  const stems = new Set();
  const names = items.map(({ name }) => {
    const stem = stemOf(name);
    let own = stem;
    for (let number = 2; stems.has(own); number++) own = wording("queue.numbered", { name: stem, number });
    stems.add(own);
    return `${own}.${kind}`;
  });
  try {
    const { downloadZip } = await import(LIBRARY);
    const texts = await Promise.all(
      items.map(async (item) => TEXTS[kind]?.(item.written.result) ?? (await act.subtitlesOf(item))[kind]),
    );
    const files = names.map((name, at) => ({ name, input: texts[at] }));
    save(await downloadZip(files).blob(), `${wording("queue.texts", { when: stamp(new Date()) })}.zip`);
  } catch (failure) {
    error(wording("queue.no_zip", { reason: reason(failure) }));
  }
}

function saveOne(item, kind, act) {
  const stem = fileName(stemOf(item.name));
  if (kind in TEXTS) save(TEXTS[kind](item.written.result), `${stem}.${kind}`);
  else saveSubtitles(kind, stem, act.subtitlesOf(item));
}

// Of hundreds of rows, only those that change are made anew.
function showRows(items, act, shown) {
  const waiting = items.filter(({ state }) => state === "waiting");
  const sameNames = Map.groupBy(items, ({ name }) => name);
  const wanted = items.map((item) => {
    const { state, message, text, audio, written } = item;
    const same = sameNames.get(item.name);
    const seen = {
      state,
      message,
      // with its number among those of the same name
      label:
        same.length < 2 ? item.name : wording("queue.numbered", { name: item.name, number: same.indexOf(item) + 1 }),
      hasText: state === "done" || (isOver(item) && Boolean(text)),
      kinds: written ? kindsOf(item) : [],
      isCurrent: Boolean(audio?.session) && audio.session.id === shown,
      isAlone: item === waiting[0] && waiting.length === 1,
      isFirst: item === waiting[0],
      isLast: item === waiting.at(-1),
    };
    const key = JSON.stringify(seen);
    if (rows.get(item)?.key !== key) rows.set(item, { key, row: row(item, seen, act) });
    return rows.get(item).row;
  });
  const box = element("queue-list");
  const stay = new Set(wanted);
  for (const old of [...box.children]) if (!stay.has(old)) old.remove();
  wanted.forEach((each, at) => {
    if (box.children[at] !== each) box.insertBefore(each, box.children[at] ?? null);
  });
}

function row(item, seen, act) {
  const made = document.createElement("li");
  made.id = `queue-${item.id}`;
  made.dataset.state = item.state;
  made.ariaCurrent = String(seen.isCurrent);
  const name = seen.hasText
    ? pressable(item, seen, "read", wording("sessions.open"), () => act.read(item))
    : document.createElement("span");
  name.textContent = item.name;
  name.className = seen.hasText ? "read" : "";
  Object.assign(name, { lang: "", dir: "auto" }); // the user's text
  const state = document.createElement("span");
  state.className = "quiet";
  state.textContent = wording(WORDS[item.state]);
  made.append(name, " ", state, ...actions(item, seen, act));
  if (item.message) {
    const message = document.createElement("p");
    message.className = item.state === "failed" ? "message" : "message quiet";
    put(message, item.message);
    made.append(message);
  }
  return made;
}

// A button of an item; name: of what it does.
function pressable(item, seen, name, label, press) {
  const made = button(label, press);
  made.id = `queue-${item.id}-${name}`;
  made.setAttribute("aria-label", wording("queue.button", { label, name: seen.label }));
  return made;
}

function actions(item, seen, act) {
  const made = (name, label, press) => pressable(item, seen, name, label, press);
  const row = (first, others = []) =>
    folded(`queue-${item.id}`, first, others, (label) => made("more", label, () => {}));
  const remove = () => made("remove", wording("queue.remove"), () => act.remove(item));
  if (item.state === "done") {
    const saved = seen.kinds.map((kind) =>
      made(kind, wording("queue.save", { kind: `.${kind}` }), () => saveOne(item, kind, act)),
    );
    return row(saved[0], [...saved.slice(1), remove()]);
  }
  if (isOver(item)) {
    return row(
      made("again", wording(seen.hasText ? "queue.go_on_here" : "queue.again"), () => act.again(item)),
      [remove()],
    );
  }
  const cancel = made("cancel", wording("queue.cancel"), () => act.cancel(item));
  if (item.state !== "waiting" || seen.isAlone) return row(cancel);
  const [up, down] = [
    made("earlier", wording("queue.earlier"), () => act.move(item, -1)),
    made("later", wording("queue.later"), () => act.move(item, 1)),
  ];
  up.disabled = seen.isFirst;
  down.disabled = seen.isLast;
  return row(cancel, [up, down]);
}
