// Writes Python's memory after its start, for tools/build_site. The page loads it, because starting Python takes seconds.
// What has the memory's first state in it, the program's own data, is written as the difference (XOR): the program has it
// anyway. What Python has freed is zeroed. So the file has 4.4 MB instead of 6.8.
//
//     node snapshot.mjs FILE
//
// It works only with the Pyodide that made it. Pyodide checks that.

import { writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { loadPyodide } from "pyodide";

// What micropip and the page's Python import from the standard library. The page can import more, but that takes longer.
const IMPORTS = `
import array, asyncio, binascii, codecs, csv, dataclasses, email.parser, functools, hashlib, html.parser
import importlib.metadata, importlib.resources, json, logging, platform, re, shutil, statistics, struct, sysconfig, tempfile
import time, traceback, urllib.parse, zipfile
import gc, pyodide.http
gc.collect()
`;

let first; // the memory's first state
const { instantiate } = WebAssembly;
WebAssembly.instantiate = async (...all) => {
  const made = await instantiate(...all);
  // Of a module that is compiled already, it makes an instance alone: what that exports is no memory of Python's.
  first ??= made.instance?.exports.memory && new Uint32Array(made.instance.exports.memory.buffer.slice());
  return made;
};
const python = await loadPyodide({ _makeSnapshot: true });
const { _module: module } = python;
const { length } = module.HEAPU8;
python.runPython(IMPORTS);
zeroFree();
if (module.HEAPU8.length !== length)
  throw new Error("Python needs more memory than it starts with. Import fewer modules in tools/site/snapshot.mjs.");
// How C functions are called. Some browsers, such as Safari on iOS, lack the faster way that Node may have chosen.
module.HEAP32[(module.__PyRuntime + module.HEAP32[module.__PyEM_EMSCRIPTEN_TRAMPOLINE_OFFSET >> 2]) >> 2] = 0;
const snapshot = python.makeMemorySnapshot();
const words = new Uint32Array(snapshot.buffer, snapshot.byteOffset, snapshot.length / 4);
const header = words[1] / 4; // its length in words: boot.js reads it too
for (let i = 0; i < first.length; i++) words[header + i] ^= first[i];
writeFileSync(process.argv[2], gzipSync(snapshot, { level: 9 }));

// Takes what malloc and Python's own allocator have free below the top of the heap, zeroes it, and frees it again.
function zeroFree() {
  const top = module._sbrk(0);
  const taken = [];
  const take = (allocate, free, bytes) => {
    for (;;) {
      const at = allocate(bytes);
      if (at >= top) return free(at);
      module.HEAPU8.fill(0, at, at + bytes);
      taken.push([free, at]);
    }
  };
  for (let bytes = 1 << 20; bytes >= 16; bytes /= 2) take(module._malloc, module._free, bytes);
  for (let bytes = 512; bytes >= 16; bytes -= 16) take(module._PyObject_Malloc, module._PyObject_Free, bytes);
  for (const [free, at] of taken.reverse()) free(at);
}
