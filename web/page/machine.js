// Whether this machine can run the engine. Asks the browser alone, never the network.

import { isSoftware } from "../software.js";
import { wording } from "./words.js";

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
    return { stop: wording("machine.unsafe") };
  }
  if (!navigator.gpu) return { stop: wording("machine.no_webgpu", { what: whereWebGPU(navigator.userAgent) }) };
  let adapter = null;
  try {
    adapter = await navigator.gpu.requestAdapter();
    if (!adapter) {
      const small = await navigator.gpu.requestAdapter({ featureLevel: "compatibility" });
      if (small) {
        return { stop: wording("machine.compatibility", { what: whereAdapter(navigator.userAgent) }) };
      }
    }
  } catch {
    // the same as no adapter
  }
  if (!adapter) return { stop: wording("machine.no_gpu", { what: whereAdapter(navigator.userAgent) }) };
  const low = Object.keys(NEEDED).filter((name) => adapter.limits[name] < NEEDED[name]);
  if (low.length) {
    const [limit] = low;
    const [has, needed] = [adapter.limits[limit], NEEDED[limit]].map(String);
    return { stop: wording("machine.low_limit", { limit, has, needed }) };
  }
  const info = /** @type {any} */ (adapter.info ?? {});
  return {
    warning: weakness(adapter),
    gpu: info.description || [info.vendor, info.architecture].filter(Boolean).join(" ") || wording("machine.unnamed"),
    software: isSoftware(adapter, info),
  };
}

function weakness(adapter) {
  const info = adapter.info ?? {};
  if (isSoftware(adapter, info)) return softwareWarning(info.description || info.architecture);
  if (/opengl|gles/i.test(`${info.architecture} ${info.device} ${info.description}`)) {
    return wording("machine.opengl");
  }
  return null;
}

export function softwareWarning(name) {
  return name ? wording("machine.software_named", { name }) : wording("machine.software");
}

function whereWebGPU(agent) {
  if (/Firefox\//.test(agent)) {
    return wording("machine.webgpu_firefox");
  }
  if (/Chrome\//.test(agent)) {
    if (/Android/.test(agent)) return wording("machine.webgpu_android");
    if (/Linux|X11/.test(agent)) {
      return wording("machine.webgpu_linux");
    }
    return wording("machine.webgpu_chrome");
  }
  if (/Safari\//.test(agent)) {
    return wording("machine.webgpu_safari");
  }
  return wording("machine.webgpu_other");
}

function whereAdapter(agent) {
  if (/Chrome\//.test(agent) && /Linux|X11/.test(agent) && !/Android/.test(agent)) {
    return wording("machine.adapter_linux");
  }
  return wording("machine.adapter");
}
