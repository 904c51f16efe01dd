// Compiles WGSL with Tint, Chrome's compiler, as a browser does at WebGPU's default limits; no GPU is used.
// tools/check_shaders calls it: node tint.js IN OUT, two JSON files (Dawn writes to stdout what it likes).
//
// IN:  {"files": {name: {"wgsl": text, "bindings": [kind, ...]}}, "variants": [[name, {constant: value}], ...]}
// OUT: [[name, constants, message], ...]: what was refused or warned about; constants are null for a whole file

import { readFileSync, writeFileSync } from "node:fs";
import { create, globals } from "webgpu";

const [input, output] = process.argv.slice(2);
if (!output) {
  console.log("usage: node tint.js IN OUT    (tools/check_shaders calls it)");
  process.exit(input === "--help" ? 0 : 2);
}
const { files, variants } = JSON.parse(readFileSync(input, "utf8"));

Object.assign(globalThis, globals);
globalThis.gpu = create(["backend=null"]); // keep a reference: garbage collection would crash the process
const adapter = await globalThis.gpu.requestAdapter();
// A file may have the `enable` lines that some browsers honour; the limits stay the default ones.
const device = await adapter.requestDevice({ requiredFeatures: ["shader-f16", "subgroups"] });
device.onuncapturederror = () => {}; // a module's errors are in its messages, and a pipeline's are thrown

const failures = [];
const modules = new Map();
for (const [name, { wgsl, bindings }] of Object.entries(files)) {
  const module = device.createShaderModule({ label: name, code: wgsl });
  const { messages } = await module.getCompilationInfo();
  if (messages.length) {
    failures.push([
      name,
      null,
      messages.map((m) => `${m.type} in line ${m.lineNum}, column ${m.linePos}: ${m.message}`).join("\n"),
    ]);
    continue;
  }
  const group = device.createBindGroupLayout({
    entries: bindings.map((type, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } })),
  });
  modules.set(name, { module, layout: device.createPipelineLayout({ bindGroupLayouts: [group] }) });
}

await Promise.all(
  variants
    .filter(([name]) => modules.has(name))
    .map(async ([name, constants]) => {
      const { module, layout } = modules.get(name);
      try {
        await device.createComputePipelineAsync({
          label: name,
          layout,
          compute: { module, entryPoint: "main", constants },
        });
      } catch (error) {
        failures.push([name, constants, error.message]);
      }
    }),
);

writeFileSync(output, JSON.stringify(failures));
process.exit(0); // Dawn's threads would keep the process
