// The seam on WebGPU: what voxtab/gpu/device.py describes, with integers for everything that Python holds.
// Python calls it once a step: a plan is a list of dispatches that was recorded at load.

import { isSoftware } from "../software.js";
import { Failure } from "../failure.js";

const STORAGE = 128,
  UNIFORM = 64,
  COPY_SRC = 4,
  COPY_DST = 8,
  MAP_READ = 1;
const BACKPRESSURE_BYTES = 8 << 20; // of an upload, between waits for what was submitted so much earlier
const READBACK_BYTES = 4096;

// Firefox looks for finished work on a 100 ms poll, and whenever something is submitted.
const PUMP = navigator.userAgent.includes("Firefox");

let prepared = null; // a promise of what the next `open` takes

// Begins to open the GPU, which takes a driver up to a second: for worker.js, while Python starts.
export function prepare() {
  if (!self.isSecureContext || !navigator.gpu) return;
  const mine = (prepared = request());
  mine
    .then(({ device }) => device.lost)
    .catch(() => {})
    .then(() => {
      if (prepared === mine) prepared = null;
    });
}

// The strongest adapter, and a device with all that it grants.
async function request() {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new Failure(
      "device",
      "WebGPU found no GPU: update the graphics driver and see that hardware acceleration is on.",
    );
  }
  const limits = {};
  for (const name in adapter.limits) if (name.startsWith("max")) limits[name] = adapter.limits[name];
  const features = ["subgroups"].filter((name) => adapter.features.has(name));
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

// The GPU, with its limits of these names. `lost` is called with a message if it goes away.
export async function open(names, lost) {
  if (!self.isSecureContext) {
    throw new Failure(
      "device",
      "Browsers give WebGPU only to https pages and to this machine's own: open the page by https or from localhost.",
    );
  }
  if (!navigator.gpu) {
    throw new Failure("device", "This browser has no WebGPU: use a current Chrome, Edge, Safari or Firefox.");
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
    this.things = new Map();
    this.last = 0;
    this.readbacks = [];
    this.failure = null; // why nothing can work any more
    this.closed = false;
    this.lost = lost;
    device.addEventListener("uncapturederror", ({ error }) =>
      this.fail(
        error instanceof GPUOutOfMemoryError
          ? new Failure(
              "device",
              "The GPU has not enough free memory for this model: close what else uses it, or use a smaller model.",
            )
          : new Failure("bug", `WebGPU refused a command: ${error.message}`),
      ),
    );
    device.lost.then(({ message }) =>
      this.fail(new Failure("device", `The GPU was lost (${message || "no reason was given"}).`)),
    );
  }

  // What was computed since cannot be trusted: whoever waits is told, and the memory is free for the next try.
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

  // Between two dispatches, Dawn inserts a barrier for every way in which a written buffer may be read: so mark only what
  // shaders bind as a uniform.
  buffer(nbytes, label, uniform) {
    const usage = STORAGE | COPY_SRC | COPY_DST | (uniform ? UNIFORM : 0);
    return this.keep(this.device.createBuffer({ label, size: Math.ceil(nbytes / 16) * 16, usage }));
  }

  free(handle) {
    this.things.get(handle).destroy?.();
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

  // `kinds` are those of the shader's bindings: never `auto`, which drops bindings that a variant does not use.
  async pipeline(label, code, kinds, constants) {
    const layout = this.device.createBindGroupLayout({
      entries: Array.from(kinds, (type, binding) => ({ binding, visibility: 4, buffer: { type } })),
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
    this.check(); // a lost device says that all went well
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

  // `commands` is flat: pipeline, bind group, x, y, z, ...
  plan(commands) {
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
    return this.keep(dispatches);
  }

  encode(plan, times) {
    const encoder = this.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    const dispatches = this.things.get(plan);
    let last = null;
    for (let i = 0; i < times; i++) {
      for (const { pipeline, group, x, y, z } of dispatches) {
        if (pipeline !== last) pass.setPipeline((last = pipeline));
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(x, y, z);
      }
    }
    pass.end();
    return encoder;
  }

  run(plan, times) {
    this.queue.submit([this.encode(plan, times).finish()]);
  }

  // Runs a plan, `times` over; a promise of `nbytes` of `buffer` as they are behind it. Several may be under way.
  read(plan, times, buffer, offset, nbytes) {
    this.check();
    const encoder = this.encode(plan, times);
    const at = this.readbacks.findIndex((free) => free.size >= nbytes);
    const readback =
      at >= 0
        ? this.readbacks.splice(at, 1)[0]
        : this.device.createBuffer({
            label: "readback",
            size: Math.max(nbytes, READBACK_BYTES),
            usage: MAP_READ | COPY_DST,
          });
    encoder.copyBufferToBuffer(this.things.get(buffer), offset, readback, 0, nbytes);
    this.queue.submit([encoder.finish()]);
    const bytes = this.mapped(readback, nbytes);
    bytes.catch(() => {}); // a stream that is given up never asks
    return bytes;
  }

  async mapped(readback, nbytes) {
    try {
      await this.pumped(readback.mapAsync(1, 0, nbytes));
    } catch (error) {
      await this.device.lost; // the one reason for which mapping fails; `failure` says it in words
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

  // Brings ranges of `source` (source.js) to buffers. `table` is flat, in the source's order: offset, nbytes,
  // buffer, offset in it, plan or 0. What has come is written at once, so that no array ever holds a tensor.
  async upload(source, table, progress) {
    let total = 0,
      waited = 0,
      before = null;
    for (let i = 0; i < table.length; i += 5) {
      const [offset, nbytes, handle, start, plan] = table.subarray(i, i + 5);
      const buffer = this.things.get(handle);
      // Writes are of whole words, and the source's pieces end anywhere: up to three bytes wait in `word`.
      const word = new Uint8Array(4);
      let held = 0,
        to = start;
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
        before.catch(() => {}); // an upload that fails does not ask
        waited = total;
      }
      this.check();
      progress(total);
    }
    await source.end();
    await this.done();
  }

  // When everything submitted so far has run.
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
