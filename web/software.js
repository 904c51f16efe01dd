// Whether a WebGPU adapter computes in software, from what the browser tells about it.
export function isSoftware(adapter, info) {
  const words = [info.vendor, info.architecture, info.device, info.description].filter(Boolean).join(" ");
  return (
    Boolean(info.isFallbackAdapter ?? adapter.isFallbackAdapter) ||
    /swiftshader|llvmpipe|lavapipe|basic render/i.test(words)
  );
}
