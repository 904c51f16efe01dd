// What a browser tells of its adapter.

// Whether it computes in software.
export function isSoftware(adapter, info) {
  const words = [info.vendor, info.architecture, info.device, info.description].filter(Boolean).join(" ");
  return (
    Boolean(info.isFallbackAdapter ?? adapter.isFallbackAdapter) ||
    /swiftshader|llvmpipe|lavapipe|basic render/i.test(words)
  );
}
