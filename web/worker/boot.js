// Starts Python in the Worker and hands it the page's messages. What they mean is in app/voxtab/browser/worker.py.

// @ts-expect-error: tools/build_site puts it there
import { loadPyodide } from "../pyodide/pyodide.mjs";
import * as gpu from "./gpu.js";
import * as store from "./store/models.js";
import * as source from "./weights/source.js";

const here = new URL("../", import.meta.url).href;
const post = (message) => self.postMessage(message);

async function load(path) {
  const response = await fetch(here + path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response;
}

const bytes = async (path) => new Uint8Array(await (await load(path)).arrayBuffer());
const text = async (path) => (await load(path)).text();

const unzipped = ({ body }, type) =>
  new Response(body.pipeThrough(new DecompressionStream("gzip")), { headers: { "Content-Type": type } });

// Python's memory as it was once it had started, made by tools/site/snapshot.mjs: the difference from its first state.
const snapshot = load("pyodide/memory.bin").then((answer) => unzipped(answer, "").arrayBuffer());

// Adds the first state, that of the program's memory before it runs.
async function complete({ exports }) {
  const words = new Uint32Array(await snapshot);
  const header = words[1] / 4;
  const first = new Uint32Array(exports.memory.buffer);
  for (let i = 0; i < first.length; i++) words[header + i] ^= first[i];
}

async function wheels() {
  const site = JSON.parse(await text("site.json"));
  return { site, wheel: await bytes(site.wheel), installer: await Promise.all(site.installer.map(bytes)) };
}

// How Pyodide gets Python's own program, which tools/build_site has compressed: many hosts compress nothing. Rejects if it
// does not arrive whole. Pyodide would write that to the console and wait forever.
function failing() {
  const { instantiateStreaming } = WebAssembly;
  return new Promise((_, reject) => {
    WebAssembly.instantiateStreaming = async (answer, imports) => {
      try {
        const made = await instantiateStreaming(unzipped(await answer, "application/wasm"), imports);
        await complete(made.instance);
        return made;
      } catch (error) {
        reject(error);
        throw error;
      }
    };
  });
}

async function boot() {
  post({ event: "progress", stage: "python", done: 0, total: 0 });
  const [python, { site, wheel, installer }] = await Promise.all([
    Promise.race([failing(), loadPyodide({ indexURL: `${here}pyodide/`, _loadSnapshot: snapshot })]),
    wheels(),
  ]);
  for (const installing of installer) python.unpackArchive(installing, "wheel");
  const path = `/tmp/${site.wheel.split("/").pop()}`;
  python.FS.writeFile(path, wheel);
  await python.pyimport("micropip").install.callKwargs(`emfs:${path}`, { deps: false });
  python.registerJsModule("page", { post, gpu, source, store, here, site });
  const receive = python.pyimport(site.worker).Worker().receive;
  post({ event: "progress", stage: "python", done: 1, total: 1 });
  return receive;
}

gpu.prepare();
source.report(post);
const booted = boot();
booted.catch(reportError); // the page gets it as the Worker's `error` event
self.onmessage = async ({ data }) => {
  if (data.verb === "live") return post({ event: "live" }); // a sign of life: engine.js
  const receive = await booted;
  try {
    receive(data);
  } catch (error) {
    // Python itself has stopped, for example out of memory.
    reportError(error);
  }
};
