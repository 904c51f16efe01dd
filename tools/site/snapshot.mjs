// Writes Python's memory after its start, for tools/build_site. The page loads it, because starting Python takes seconds.
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

const python = await loadPyodide({ _makeSnapshot: true });
const { _module: module } = python;
const { length } = module.HEAPU8;
python.runPython(IMPORTS);
if (module.HEAPU8.length !== length)
  throw new Error("Python needs more memory than it starts with. Import fewer modules in tools/site/snapshot.mjs.");
// How C functions are called. Some browsers, such as Safari on iOS, lack the faster way that Node may have chosen.
module.HEAP32[(module.__PyRuntime + module.HEAP32[module.__PyEM_EMSCRIPTEN_TRAMPOLINE_OFFSET >> 2]) >> 2] = 0;
writeFileSync(process.argv[2], gzipSync(python.makeMemorySnapshot()));
