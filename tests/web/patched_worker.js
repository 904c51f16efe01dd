// worker.js in a browser that is not as usual; the address says how: ?no_webgpu, ?no_adapter, ?low_limits, ?lose.
const how = new URL(import.meta.url).search.slice(1);

if (how === 'no_webgpu') Object.defineProperty(navigator, 'gpu', { value: undefined });
if (how === 'no_adapter') navigator.gpu.requestAdapter = async () => null;
if (how === 'low_limits') {
  const ask = navigator.gpu.requestAdapter.bind(navigator.gpu);
  navigator.gpu.requestAdapter = async options => {
    const adapter = await ask(options);
    const limits = { maxComputeInvocationsPerWorkgroup: 128 };
    for (const name in adapter.limits) limits[name] ??= adapter.limits[name];
    return Object.defineProperty(adapter, 'limits', { value: limits });
  };
}
if (how === 'lose') {
  const ask = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    const device = await ask.call(this, descriptor);
    self.addEventListener('message', ({ data }) => data.verb === 'lose' && device.destroy());
    return device;
  };
}

await import('./worker.js');
