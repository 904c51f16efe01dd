// boot.js in an unusual browser, which the address names: ?low_limits; ?lose, where a test may send `lose` or
// `out_of_memory`; ?lose_at_text and ?memory_at_text, which happen once, after the first text.
const how = new URL(import.meta.url).search.slice(1);

if (how === "low_limits") {
  const ask = navigator.gpu.requestAdapter.bind(navigator.gpu);
  navigator.gpu.requestAdapter = async (options) => {
    const adapter = await ask(options);
    const limits = { maxComputeInvocationsPerWorkgroup: 128 };
    for (const name in adapter.limits) limits[name] ??= adapter.limits[name];
    return Object.defineProperty(adapter, "limits", { value: limits });
  };
}
let device; // the one that was opened last
if (how.startsWith("lose")) {
  const ask = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    device = await ask.call(this, descriptor);
    return device;
  };
}
const act = {
  lose: () => device.destroy(),
  out_of_memory: () =>
    device.dispatchEvent(
      new GPUUncapturedErrorEvent("uncapturederror", { error: new GPUOutOfMemoryError("too much") }),
    ),
};
let once = /(.*)_at_text/.exec(how)?.[1];
let losing = false; // a fast GPU may finish before it is lost: then the page does not hear that
const post = self.postMessage;
self.postMessage = (message, ...more) => {
  if (message.event === "lost") losing = false;
  if (losing && message.result) return;
  post.call(self, message, ...more);
  if (message.event !== "text" || !once) return;
  const now = once;
  once = null;
  losing = now === "lose";
  if (now === "memory") throw new RangeError("Array buffer allocation failed"); // Chromium's words
  setTimeout(act[now]); // not within the engine
};
self.addEventListener("message", ({ data }) => act[data.verb]?.());

await import(new URL("./worker/boot.js", import.meta.url).href);
