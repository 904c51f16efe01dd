// The first minute: what this machine can do, and the one button that gets the model.

import { openModel } from "./opening.js";

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);

const GB = 2.5; // the download of the 4B model
const NEEDS = "The model needs a GPU with 4 GB of memory.";
const MOST_MEMORY_TOLD = 8; // GB: browsers say no more than that

// The address that the page has for the 4B model.
function published() {
  const url = new URL(element("model-url").defaultValue);
  return { label: url.pathname.split("/").pop(), model: { url: url.href }, tokenizer: null };
}

// kept: the request to open a model that is kept on this machine, or null.
export function showCard(kept) {
  const get = element("get-model");
  get.textContent = kept ? `Open ${kept.label}` : `Get the model (${GB} GB)`;
  get.onclick = () => openModel(kept ?? published());
  element("card-source").textContent = kept
    ? "It is on this machine."
    : `From ${new URL(published().model.url).host}. Nothing about you is sent there.`;
}

// machine: what checkMachine found.
/** @param {{stop?: string, warning?: string, gpu?: string, software?: boolean}} machine */
export async function showMachine({ stop, warning, gpu, software }) {
  const { quota, usage } = (await navigator.storage?.estimate?.()) ?? {};
  const room = quota === undefined ? null : (quota - usage) / 1e9;
  const memory = /** @type {any} */ (navigator).deviceMemory;
  let verdict = ["This machine has what it needs.", ""];
  if (stop) verdict = ["This browser cannot run it as it is.", `${stop} ${NEEDS}`];
  else if (software) {
    verdict = [
      "This machine is too slow for it.",
      `The browser computes without a GPU. Turn on hardware acceleration in its settings, or use another machine. ${NEEDS}`,
    ];
  } else if (warning) verdict = ["This machine can run it, slowly.", warning];
  else if (room !== null && room < GB) {
    verdict = [
      "This machine can run it, but not keep it.",
      `The browser has room for ${room.toFixed(1)} GB only: make room on the disk, or download it at each visit.`,
    ];
  }
  const [title, text] = ["verdict-title", "verdict-text"].map(element);
  title.firstElementChild.textContent = verdict[0];
  text.textContent = verdict[1];
  text.hidden = !verdict[1];
  element("get-model").disabled = Boolean(stop);
  element("get-model").classList.toggle("strong", !stop && !software);
  element("see").classList.toggle("strong", Boolean(stop || software));
  const facts = [
    ["GPU", stop ? "none that the browser can use" : software ? `none; ${gpu} stands in for it` : gpu],
    ["Memory", memory && `${memory}${memory >= MOST_MEMORY_TOLD ? " GB or more" : " GB"}; the GPU needs 4 GB`],
    ["Disk", room !== null && `room for ${room < 10 ? room.toFixed(1) : Math.floor(room)} GB or more`],
  ];
  element("machine").replaceChildren(
    ...facts.flatMap(([name, value]) => {
      if (!value) return [];
      const [term, description] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      description.textContent = value;
      return [term, description];
    }),
  );
}
