// Whether this machine can run the engine. Asks the browser alone, never the network.

import { isSoftware } from "../software.js";

// What the engine needs: WebGPU's default limits, which every full implementation has.
export const NEEDED = {
  maxBufferSize: 268435456,
  maxStorageBufferBindingSize: 134217728,
  maxStorageBuffersPerShaderStage: 8,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupStorageSize: 16384,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupsPerDimension: 65535,
};

// {stop: why it is impossible; warning: why it will be slow}, each a sentence for the user, or missing; {gpu: its name;
// software: whether there is none} if it is possible.
export async function checkMachine() {
  if (!isSecureContext) {
    return {
      stop: "Browsers let only pages from https:// or localhost use the GPU: open this page from such an address.",
    };
  }
  if (!navigator.gpu) return { stop: `This browser has no WebGPU. ${whereWebGPU(navigator.userAgent)}` };
  let adapter = null;
  try {
    adapter = await navigator.gpu.requestAdapter();
    if (!adapter) {
      const small = await navigator.gpu.requestAdapter({ featureLevel: "compatibility" });
      if (small) {
        return {
          stop:
            "The browser can use this GPU only in WebGPU's compatibility mode (OpenGL ES or an old Direct3D), which " +
            `is not enough for the engine. ${whereAdapter(navigator.userAgent)}`,
        };
      }
    }
  } catch {
    // the same as no adapter
  }
  if (!adapter) return { stop: `The browser found no GPU that it can use. ${whereAdapter(navigator.userAgent)}` };
  const low = Object.keys(NEEDED).filter((name) => adapter.limits[name] < NEEDED[name]);
  if (low.length) {
    return {
      stop:
        `This GPU's limits are too low (${low[0]} is ${adapter.limits[low[0]]}, ` +
        `but ${NEEDED[low[0]]} is needed): use another browser or machine, or update the graphics driver.`,
    };
  }
  const info = /** @type {any} */ (adapter.info ?? {});
  return {
    warning: weakness(adapter),
    gpu: info.description || [info.vendor, info.architecture].filter(Boolean).join(" ") || "one that has no name",
    software: isSoftware(adapter, info),
  };
}

function weakness(adapter) {
  const info = adapter.info ?? {};
  if (isSoftware(adapter, info)) return softwareWarning(info.description || info.architecture);
  if (/opengl|gles/i.test(`${info.architecture} ${info.device} ${info.description}`)) {
    return (
      "The browser uses the GPU through OpenGL ES, which is slow. Update the graphics driver, or on Linux start the " +
      "browser with Vulkan enabled."
    );
  }
  return null;
}

export function softwareWarning(name) {
  return (
    `This browser runs WebGPU in software${name ? ` (${name})` : ""}, not on a GPU. The self-test model works this ` +
    "way, slowly; the 4B model is too large for it. Turn on hardware acceleration in the browser's settings, or use " +
    "a machine with a GPU."
  );
}

function whereWebGPU(agent) {
  if (/Firefox\//.test(agent)) {
    return (
      "New versions of Firefox have it on by default on Windows and on Macs with Apple chips. Elsewhere, open " +
      "about:config, set dom.webgpu.enabled to true, and restart Firefox; or use Chrome or Edge."
    );
  }
  if (/Chrome\//.test(agent)) {
    if (/Android/.test(agent)) return "Use Chrome 121 or newer on Android 12 or newer.";
    if (/Linux|X11/.test(agent)) {
      return (
        "In Chrome on Linux, open chrome://flags, enable “Unsafe WebGPU Support” and “Vulkan”, and restart the " +
        "browser."
      );
    }
    return (
      "Update the browser (Chrome or Edge 113 or newer), and turn on “Use graphics acceleration when available” in " +
      "its settings."
    );
  }
  if (/Safari\//.test(agent)) {
    return "Safari has it since version 26 (macOS 26, iOS 26, iPadOS 26): update the system, or use Chrome.";
  }
  return "Use a new version of Chrome, Edge, Safari (26 or newer) or Firefox.";
}

function whereAdapter(agent) {
  if (/Chrome\//.test(agent) && /Linux|X11/.test(agent) && !/Android/.test(agent)) {
    return (
      "In Chrome on Linux, open chrome://flags, enable “Unsafe WebGPU Support” and “Vulkan”, and restart the " +
      "browser. chrome://gpu shows details."
    );
  }
  return (
    "Turn on hardware acceleration in the browser's settings, update the graphics driver, and restart the " + "browser."
  );
}
