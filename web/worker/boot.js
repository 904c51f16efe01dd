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

// Python's memory as it was once it had started, compressed; made by tools/site/snapshot.mjs.
async function memory() {
  const { body } = await load("pyodide/memory.bin");
  return new Response(body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

async function wheels() {
  const site = JSON.parse(await text("site.json"));
  return { site, wheel: await bytes(site.wheel), installer: await Promise.all(site.installer.map(bytes)) };
}

// Rejects if Python's own program does not arrive whole. Pyodide would write that to the console and wait forever.
function failing() {
  const instantiate = WebAssembly.instantiateStreaming;
  return new Promise((_, reject) => {
    WebAssembly.instantiateStreaming = (...all) => {
      const instantiated = instantiate(...all);
      instantiated.catch(reject);
      return instantiated;
    };
  });
}

async function boot() {
  post({ event: "progress", stage: "python", done: 0, total: 0 });
  const [python, { site, wheel, installer }] = await Promise.all([
    Promise.race([failing(), loadPyodide({ indexURL: `${here}pyodide/`, _loadSnapshot: memory() })]),
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
