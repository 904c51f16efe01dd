// Python's memory once it has started, for tools/build_site: the page takes it over, where starting Python takes seconds.
//
//     node snapshot.mjs FILE
//
// It fits the Pyodide that made it and no other; Pyodide sees to that.

import { writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { loadPyodide } from "pyodide";

// Of the standard library, what micropip and the page's Python import. What is not here is imported there, and takes longer.
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
  throw new Error("Python has grown beyond the memory that it begins with: import less.");
// How C functions are called. Some browsers, Safari on iOS one of them, lack the faster way, which Node may have.
module.HEAP32[(module.__PyRuntime + module.HEAP32[module.__PyEM_EMSCRIPTEN_TRAMPOLINE_OFFSET >> 2]) >> 2] = 0;
writeFileSync(process.argv[2], gzipSync(python.makeMemorySnapshot()));
