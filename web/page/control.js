// The service worker (tools/site/service_worker.js) keeps the site's files in this browser, and binds the Workers where the
// host sends no headers. Without one, as in a private window, everything comes from the host.

import { bindWorkers, scriptAddress } from "../worker/start.js";

const CONTROL_MS = 10_000; // it is waited for at most so long

const container = navigator.serviceWorker;
export const controlled = { by: null }; // the ServiceWorkerRegistration, once the service worker answers this page's requests

// Resolves once it does, or cannot. Before that, no Worker starts.
export async function takeControl() {
  await register();
  if (!controlled.by) await bindWorkers().catch(() => {}); // the network is gone, so no Worker can start
}

async function register() {
  if (!container) return; // an address without https, for example
  let registration;
  try {
    registration = await container.register(scriptAddress(new URL("../service-worker.js", import.meta.url)));
  } catch {
    return; // the checkout's web/ has none; a private window allows none
  }
  if (!registration) return;
  if (!container.controller) {
    if (registration.active) ask("claim", {}, registration.active).catch(() => {}); // the page was loaded around it
    await new Promise((resolve) => {
      container.addEventListener("controllerchange", resolve, { once: true });
      setTimeout(resolve, CONTROL_MS);
    });
  }
  if (!container.controller) return;
  controlled.by = registration;
  registration.update().catch(() => {}); // Firefox looks for a new version only once no tab is open; there may be no network
}

// The answer to one of the service worker's verbs.
export function ask(verb, values = {}, worker = container.controller) {
  const { port1, port2 } = new MessageChannel();
  const { promise, resolve, reject } = Promise.withResolvers();
  port1.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data.found));
  worker.postMessage({ verb, ...values }, [port2]);
  return promise;
}
