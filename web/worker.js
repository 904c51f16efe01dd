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
  const receive = await python.runPythonAsync(await (await load('worker.py')).text(), { filename: 'worker.py' });
  post({ event: 'progress', stage: 'python', done: 1, total: 1 });
  return receive;
}

const booted = boot();
booted.catch(() => {});     // each message is answered with it
self.onmessage = async ({ data }) => {
  const answer = (kind, message) => post({ id: data.id, error: { kind, message } });
  let receive;
  try {
    receive = await booted;
  } catch (error) {
    answer('network', `The page's own files did not load (${error.message}): reload the page.`);
    return;
  }
  try {
    receive(data);
  } catch (error) {     // Python itself has stopped, for want of memory for example
    answer('bug', `Python has stopped (${error.message}): reload the page.`);
    reportError(error);
  }
};
