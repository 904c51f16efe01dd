// boot.js in a browser that is not as usual; the address says how: ?no_webgpu, ?no_adapter, ?low_limits, ?no_reader, ?no_checker;
// or what befalls it: ?lose, when it is asked to `lose` or to run `out_of_memory`; ?lose_at_finish, ?crash_at_finish, once.
const how = new URL(import.meta.url).search.slice(1);

if (how === "no_webgpu") Object.defineProperty(navigator, "gpu", { value: undefined });
if (how === "no_adapter") navigator.gpu.requestAdapter = async () => null;
if (how === "low_limits") {
  const ask = navigator.gpu.requestAdapter.bind(navigator.gpu);
  navigator.gpu.requestAdapter = async (options) => {
    const adapter = await ask(options);
    const limits = { maxComputeInvocationsPerWorkgroup: 128 };
    for (const name in adapter.limits) limits[name] ??= adapter.limits[name];
    return Object.defineProperty(adapter, "limits", { value: limits });
  };
}
if (how === "no_reader" || how === "no_checker") {
  self.Worker = class extends Worker {
    constructor(url, options) {
      super(new URL(how === "no_reader" ? "gone.js" : "patched_reader.js", url), options);
    }
  };
}
let device; // the one that was opened last
if (how.startsWith("lose")) {
  const ask = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    return (device = await ask.call(this, descriptor));
  };
}
const act = {
  lose: () => device.destroy(),
  out_of_memory: () =>
    device.dispatchEvent(
      new GPUUncapturedErrorEvent("uncapturederror", { error: new GPUOutOfMemoryError("too much") }),
    ),
  crash: () => {
    throw new Error("out of memory");
  },
};
let once = /(.*)_at_(.*)/.exec(how);
self.addEventListener("message", ({ data }) => {
  const [, deed, verb] = once ?? [];
  if (data.verb === verb) {
    once = null;
    act[deed]();
  }
  act[data.verb]?.();
});

await import("./worker/boot.js");
