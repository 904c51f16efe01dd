// Joins the page's modules for the built site: one file for each script that a document, a Worker, a worklet or another
// page starts with, instead of 90. So a browser asks a few times only. Nothing is shortened: people can read what runs.
//
//     node join.mjs WEB SITE
//
// SITE is a copy of WEB. What is joined elsewhere is removed from it.

import { readFile, rm } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { build } from "esbuild";

// The scripts of one line share what they have in common. All others have a file each.
const STARTS = [
  ["page/first.js", "page/main.js"],
  ["voxtab.js"],
  ["audio/capture-worklet.js"],
  ["worker/boot.js"],
  ["worker/audio/decoder.js"],
  ["worker/sessions/writer.js"],
  ["worker/store/verifier.js"],
  ["worker/weights/checker.js"],
  ["worker/weights/hasher.js"],
  ["worker/weights/reader.js"],
];
const [web, site] = process.argv.slice(2).map((path) => resolve(path));

// Addresses beside a module stay right in a file of another folder.
const addresses = (folder) => ({
  name: "addresses",
  setup: ({ onLoad }) =>
    onLoad({ filter: /\.js$/ }, async ({ path }) => {
      const there = JSON.stringify(relative(folder, path));
      const code = await readFile(path, "utf8");
      return { contents: code.replaceAll("import.meta.url", `new URL(${there}, import.meta.url).href`) };
    }),
});

const joined = new Set();
for (const scripts of STARTS) {
  const folder = dirname(scripts[0]);
  const { metafile } = await build({
    absWorkingDir: web,
    entryPoints: scripts,
    outdir: join(site, folder),
    outbase: folder,
    bundle: true,
    external: ["*/pyodide.mjs"], // it lies beside its program
    splitting: scripts.length > 1,
    format: "esm",
    charset: "utf8",
    allowOverwrite: true,
    metafile: true,
    logLevel: "warning",
    plugins: [addresses(join(web, folder))],
  });
  for (const path of Object.keys(metafile.inputs)) joined.add(path);
}
for (const path of joined) if (!STARTS.flat().includes(path)) await rm(join(site, path));
