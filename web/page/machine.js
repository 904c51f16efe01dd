// Can this machine run the engine? Asks the browser only, never the network.

import { isSoftware } from "../software.js";

// What the engine needs: the limits that WebGPU promises on every device that has it.
const NEEDED = {
  maxBufferSize: 268435456,
  maxStorageBufferBindingSize: 134217728,
  maxStorageBuffersPerShaderStage: 8,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupStorageSize: 16384,
};

// {stop: what makes it impossible, or null; warning: what makes it slow, or null}; a sentence for the user each.
export async function checkMachine() {
  if (!isSecureContext) {
    return { stop: "The browser gives the GPU to pages from https:// or localhost only: open this page from there." };
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
            "The browser reaches this GPU in WebGPU's compatibility mode only (OpenGL ES or an old Direct3D), " +
            `which is too little for the engine. ${whereAdapter(navigator.userAgent)}`,
        };
      }
    }
  } catch {
    /* the same as none */
  }
  if (!adapter) return { stop: `The browser found no GPU that it may use. ${whereAdapter(navigator.userAgent)}` };
  const low = Object.keys(NEEDED).filter((name) => adapter.limits[name] < NEEDED[name]);
  if (low.length) {
    return {
      stop:
        `This GPU's limits are too low (${low[0]} is ${adapter.limits[low[0]]}, ` +
        `${NEEDED[low[0]]} is needed): use another browser or machine, or update the graphics driver.`,
    };
  }
  return { warning: weakness(adapter) };
}

function weakness(adapter) {
  const info = adapter.info ?? {};
  if (isSoftware(adapter, info)) return softwareWarning(info.description || info.architecture);
  if (/opengl|gles/i.test(`${info.architecture} ${info.device} ${info.description}`)) {
    return (
      "The GPU is reached through OpenGL ES, which is slow for this. Update the graphics driver, or on Linux " +
      "start the browser with Vulkan enabled."
    );
  }
  return null;
}

export function softwareWarning(name) {
  return (
    `No graphics processor is in use: this machine computes WebGPU in software${name ? ` (${name})` : ""}. ` +
    "The self-test model runs so, slowly; the 4B model does not. Turn hardware acceleration on in the browser's " +
    "settings, or use a machine with a GPU."
  );
}

function whereWebGPU(agent) {
  if (/Firefox\//.test(agent)) {
    return (
      "In Firefox it is on by default on Windows and on Macs with Apple chips, in new versions. Elsewhere, open " +
      "about:config, set dom.webgpu.enabled to true, and start Firefox again; or use Chrome or Edge."
    );
  }
  if (/Chrome\//.test(agent)) {
    if (/Android/.test(agent)) return "Use Chrome 121 or newer on Android 12 or newer.";
    if (/Linux|X11/.test(agent)) {
      return (
        "In Chrome on Linux, open chrome://flags, enable “Unsafe WebGPU Support” and “Vulkan”, and start the " +
        "browser again."
      );
    }
    return (
      "Update the browser (Chrome or Edge 113 or newer), and turn “Use graphics acceleration when available” on " +
      "in its settings."
    );
  }
  if (/Safari\//.test(agent)) {
    return "Safari has it from version 26 on (macOS 26, iOS 26, iPadOS 26): update the system, or use Chrome.";
  }
  return "Use a new Chrome, Edge, Safari 26 or Firefox.";
}

function whereAdapter(agent) {
  if (/Chrome\//.test(agent) && /Linux|X11/.test(agent) && !/Android/.test(agent)) {
    return (
      "In Chrome on Linux, open chrome://flags, enable “Unsafe WebGPU Support” and “Vulkan”, and start the " +
      "browser again; chrome://gpu says more."
    );
  }
  return (
    "Turn hardware acceleration on in the browser's settings, update the graphics driver, and start the browser " +
    "again."
  );
}
