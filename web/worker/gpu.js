// The seam (app/voxtab/gpu/device.py) on the browser's WebGPU. Python holds integers for all that is made here, and
// calls it once a step: a plan is a list of dispatches that was recorded when the model was loaded.

import { Failure } from "../failure.js";
import { isSoftware } from "../software.js";

// As numbers, because a browser without WebGPU has no GPUBufferUsage, and `open` must tell the user about that.
const MAP_READ = 1;
const COPY_SRC = 4;
const COPY_DST = 8;
const UNIFORM = 64;
const STORAGE = 128;
const BACKPRESSURE_BYTES = 8 << 20; // after each such amount, an upload waits for the amount before it
const READBACK_BYTES = 4096; // the smallest size of a buffer for readbacks

// Firefox looks for finished work only every 100 ms, and whenever something is submitted.
const PUMP = navigator.userAgent.includes("Firefox");

let prepared = null; // a promise of the device that the next `open` takes

// Begins to open the GPU, while Python starts: a driver may take up to a second.
export function prepare() {
  if (!self.isSecureContext || !navigator.gpu) return;
  const mine = request();
  prepared = mine;
  mine
    .then(({ device }) => device.lost)
    .catch(() => {})
    .then(() => {
      if (prepared === mine) prepared = null;
    });
}

// The strongest adapter, and a device with all the limits that it grants.
async function request() {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new Failure(
      "device",
      "WebGPU found no GPU: update the graphics driver, and turn on hardware acceleration in the browser's settings.",
    );
  }
  /** @type {Record<string, number>} */
  const limits = {};
  for (const name in adapter.limits) if (name.startsWith("max")) limits[name] = adapter.limits[name];
  /** @type {GPUFeatureName[]} */
  const features = adapter.features.has("subgroups") ? ["subgroups"] : [];
  try {
    return {
      adapter,
      limits,
      device: await adapter.requestDevice({ requiredLimits: limits, requiredFeatures: features }),
    };
  } catch (error) {
    throw new Failure(
      "device",
      `The GPU could not be opened (${error.message}): close other tabs that use it and try again.`,
    );
  }
}

// Opens the GPU. names: of the limits that Python wants to know; lost: called with a message if the GPU goes away.
export async function open(names, lost) {
  if (!self.isSecureContext) {
    throw new Failure(
      "device",
      "Browsers let only pages from https:// or localhost use WebGPU: open this page from such an address.",
    );
  }
  if (!navigator.gpu) {
    throw new Failure("device", "This browser has no WebGPU: use a new version of Chrome, Edge, Safari or Firefox.");
  }
  const opening = prepared ?? request();
  prepared = null;
  const { adapter, limits, device } = await opening;
  return new Gpu(device, adapter, Object.fromEntries(Array.from(names, (name) => [name, limits[name]])), lost);
}

class Gpu {
  constructor(device, adapter, limits, lost) {
    const info = device.adapterInfo ?? adapter.info ?? {};
    this.limits = limits;
    // GpuAdapter in voxtab/gpu/device.py.
    this.adapter = {
      vendor: info.vendor ?? "",
      device: info.device || info.architecture || "",
      description: info.description ?? "",
      backend: "WebGPU",
      is_software: isSoftware(adapter, info),
      largest_workgroup: Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX),
      workgroup_storage: limits.maxComputeWorkgroupStorageSize,
      subgroup: device.features.has("subgroups") ? (info.subgroupMinSize ?? 1) : 1,
      packed_dot: Boolean(navigator.gpu.wgslLanguageFeatures?.has("packed_4x8_integer_dot_product")),
    };
    this.device = device;
    this.queue = device.queue;
    this.things = new Map(); // handle -> buffer, {pipeline, layout}, bind group or plan
    this.last = 0; // the last handle
    this.readbacks = []; // buffers that are free
    this.unrecorded = new Set(); // plans to record ahead: they ran
    this.failure = null; // why nothing works any more
    this.closed = false;
    this.lost = lost;
    device.addEventListener("uncapturederror", ({ error }) =>
      this.fail(
        error instanceof GPUOutOfMemoryError
          ? new Failure(
              "device",
              "The GPU does not have enough free memory for this model: close other programs that use it, or use a " +
                "smaller model.",
            )
          : new Failure("bug", `WebGPU refused a command: ${error.message}`),
      ),
    );
    device.lost.then(({ message }) =>
      this.fail(new Failure("device", `The GPU was lost (${message || "no reason was given"}).`)),
    );
  }

  // Later results are invalid: reject pending reads and free the memory.
  fail(failure) {
    if (this.failure || this.closed) return;
    this.failure = failure;
    this.device.destroy();
    this.lost(failure.message);
  }

  keep(thing) {
    this.things.set(++this.last, thing);
    return this.last;
  }

  check() {
    if (this.failure) throw this.failure;
  }

  // Between two dispatches, Dawn inserts a barrier for every way in which a written buffer may be read: so mark only
  // what shaders bind as a uniform.
  buffer(nbytes, label, uniform) {
    const usage = STORAGE | COPY_SRC | COPY_DST | (uniform ? UNIFORM : 0);
    return this.keep(this.device.createBuffer({ label, size: Math.ceil(nbytes / 16) * 16, usage }));
  }

  free(handle) {
    const thing = this.things.get(handle);
    thing.destroy?.(); // a buffer
    this.unrecorded.delete(thing); // a plan
    this.things.delete(handle);
  }

  write(buffer, offset, data) {
    this.queue.writeBuffer(this.things.get(buffer), offset, data);
  }

  copy(source, target, nbytes) {
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(this.things.get(source), 0, this.things.get(target), 0, nbytes);
    this.queue.submit([encoder.finish()]);
  }

  // kinds: the types of the shader's bindings, in order. The layout is explicit because `auto` drops the bindings that
  // a variant does not use.
  async pipeline(label, code, kinds, constants) {
    const layout = this.device.createBindGroupLayout({
      entries: Array.from(kinds, (type, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type },
      })),
    });
    const pipeline = await this.device
      .createComputePipelineAsync({
        label,
        layout: this.device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module: this.device.createShaderModule({ label, code }), entryPoint: "main", constants },
      })
      .catch((error) => {
        throw this.failure ?? error;
      });
    this.check(); // a lost device reports no error
    return this.keep({ pipeline, layout });
  }

  bind(pipeline, buffers) {
    return this.keep(
      this.device.createBindGroup({
        layout: this.things.get(pipeline).layout,
        entries: Array.from(buffers, (buffer, binding) => ({ binding, resource: { buffer: this.things.get(buffer) } })),
      }),
    );
  }

  // commands: pipeline, bind group, x, y, z of each dispatch, in one flat array.
  // ahead: record them for the next run while a read is under way. `recorded` are the commands for that run, or null.
  plan(commands, ahead) {
    const dispatches = [];
    for (let i = 0; i < commands.length; i += 5) {
      dispatches.push({
        pipeline: this.things.get(commands[i]).pipeline,
        group: this.things.get(commands[i + 1]),
        x: commands[i + 2],
        y: commands[i + 3],
        z: commands[i + 4],
      });
    }
    return this.keep({ dispatches, ahead, recorded: null });
  }

  record({ dispatches }, times) {
    const encoder = this.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    let last = null;
    for (let i = 0; i < times; i++) {
      for (const { pipeline, group, x, y, z } of dispatches) {
        if (pipeline !== last) pass.setPipeline(pipeline);
        last = pipeline;
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(x, y, z);
      }
    }
    pass.end();
    return encoder.finish();
  }

  // A plan's commands for one submit.
  commands(plan, times) {
    const found = this.things.get(plan);
    if (!found.ahead || times > 1) return this.record(found, times);
    const recorded = found.recorded ?? this.record(found, 1);
    found.recorded = null;
    this.unrecorded.add(found);
    return recorded;
  }

  recordAhead() {
    for (const plan of this.unrecorded) plan.recorded = this.record(plan, 1);
    this.unrecorded.clear();
  }

  run(plan, times) {
    this.queue.submit([this.commands(plan, times)]);
  }

  // Runs a plan `times` over. A promise of `nbytes` of `buffer` as they are after it; several may be pending.
  read(plan, times, buffer, offset, nbytes) {
    this.check();
    const commands = this.commands(plan, times);
    const at = this.readbacks.findIndex((free) => free.size >= nbytes);
    const readback =
      at >= 0
        ? this.readbacks.splice(at, 1)[0]
        : this.device.createBuffer({
            label: "readback",
            size: Math.max(nbytes, READBACK_BYTES),
            usage: MAP_READ | COPY_DST,
          });
    const copy = this.device.createCommandEncoder();
    copy.copyBufferToBuffer(this.things.get(buffer), offset, readback, 0, nbytes);
    this.queue.submit([commands, copy.finish()]);
    const bytes = this.mapped(readback, nbytes);
    bytes.catch(() => {}); // a stopped stream does not await it
    this.recordAhead();
    return bytes;
  }

  async mapped(readback, nbytes) {
    try {
      await this.pumped(readback.mapAsync(GPUMapMode.READ, 0, nbytes));
    } catch (error) {
      await this.device.lost; // mapping fails only if the device is lost; `failure` then says why
      throw this.failure ?? error;
    }
    this.check();
    const bytes = new Uint8Array(readback.getMappedRange(0, nbytes)).slice();
    readback.unmap();
    this.readbacks.push(readback);
    return bytes;
  }

  async pumped(promise) {
    if (!PUMP) return promise;
    let waiting = true;
    const done = promise.finally(() => {
      waiting = false;
    });
    while (waiting) {
      this.queue.submit([]);
      await Promise.race([done, new Promise((resolve) => setTimeout(resolve, 1))]);
    }
    return done;
  }

  // Brings ranges of a Source to buffers. table: offset, nbytes, buffer, offset in the buffer, and a plan to run
  // afterwards or 0, of each range, in one flat array and in the source's order. Each chunk is written at once, so that
  // no array ever holds a tensor. progress: called with the number of bytes so far.
  async upload(source, table, progress) {
    let total = 0;
    let waited = 0; // bytes at the last wait
    let before = null; // a promise: what was submitted at the last wait is done
    for (let i = 0; i < table.length; i += 5) {
      const [offset, nbytes, handle, start, plan] = table.subarray(i, i + 5);
      const buffer = this.things.get(handle);
      // Writes are of whole words, but the source's chunks end anywhere: up to three bytes are held in `word`.
      const word = new Uint8Array(4);
      let held = 0;
      let to = start;
      const write = (bytes) => {
        this.queue.writeBuffer(buffer, to, bytes);
        to += bytes.length;
      };
      await source.skip(offset);
      for (let left = nbytes; left; ) {
        let bytes = await source.read(left);
        left -= bytes.length;
        if (held) {
          const more = bytes.subarray(0, 4 - held);
          word.set(more, held);
          held = (held + more.length) % 4;
          bytes = bytes.subarray(more.length);
          if (held) continue;
          write(word);
        }
        held = bytes.length % 4;
        write(bytes.subarray(0, bytes.length - held));
        word.set(bytes.subarray(bytes.length - held));
      }
      if (held) write(word.fill(0, held));
      if (plan) this.run(plan, 1);
      total += nbytes;
      if (total - waited >= BACKPRESSURE_BYTES) {
        await before;
        before = this.done();
        before.catch(() => {}); // an upload that fails does not await it
        waited = total;
      }
      this.check();
      progress(total);
    }
    await source.end();
    await this.done();
  }

  // Resolves when everything submitted so far has run.
  async done() {
    await this.pumped(this.queue.onSubmittedWorkDone());
    this.check();
  }

  close() {
    this.closed = true;
    this.device.destroy();
    this.things.clear();
    this.readbacks.length = 0;
  }
}
