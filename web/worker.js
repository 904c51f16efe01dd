// Boots Python and hands it the page's messages; what they mean is in worker.py.

import { loadPyodide } from './pyodide/pyodide.mjs';
import * as gpu from './gpu.js';
import * as source from './source.js';

const here = new URL('./', import.meta.url).href;
const post = message => self.postMessage(message);

async function load(path) {
  const response = await fetch(here + path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response;
}

async function boot() {
  post({ event: 'progress', stage: 'python', done: 0, total: 0 });
  const [python, site] = await Promise.all([
    loadPyodide({ indexURL: `${here}pyodide/` }),
    load('site.json').then(response => response.json()),
  ]);
  const quiet = { messageCallback() {} };
  await python.loadPackage(site.installer.map(path => here + path), quiet);
  await python.pyimport('micropip').install.callKwargs(here + site.wheel, { deps: false });
  python.registerJsModule('page', { post, gpu, source, here, site });
  const [opening, worker] = await Promise.all(['opening.py', 'worker.py'].map(async path => (await load(path)).text()));
  python.FS.writeFile('opening.py', opening);           // which worker.py imports
  const receive = await python.runPythonAsync(worker, { filename: 'worker.py' });
  post({ event: 'progress', stage: 'python', done: 1, total: 1 });
  return receive;
}

const booted = boot();
booted.catch(reportError);              // which the page hears as the Worker's error
self.onmessage = async ({ data }) => {
  const receive = await booted;
  try {
    receive(data);
  } catch (error) {                     // Python itself has stopped, for want of memory for example
    reportError(error);
  }
};
