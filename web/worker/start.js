// Starts a Worker of this site. Its policy is not the page's, but that of its script's answer: web/headers.json. A host may
// send no headers, and then the service worker adds them. Where there is no service worker either, as in a private window of
// Firefox, a script comes through a blob: then the page's own policy binds it, which tools/build_site writes there.
//
// To a page of another origin, which imports ../voxtab.js, all scripts come through blobs: browsers start no Worker of
// another origin. The policy of that page binds them.

const SITE = new URL(import.meta.url).origin;
const ELSEWHERE = "/worker/weights/reader.js"; // alone may leave this origin

const isForeign = SITE !== location.origin;
let policy; // browsers with Trusted Types take a script's address only from a policy
let throughBlobs = isForeign;

function own(address) {
  const { protocol, origin } = new URL(address);
  if (origin !== (protocol === "blob:" ? location.origin : SITE)) throw new Error(`${address} is of another site.`);
  return address;
}

// The address of a script of this site, as browsers take it.
export function scriptAddress(url) {
  policy ??= /** @type {any} */ (globalThis).trustedTypes?.createPolicy("voxtab", { createScriptURL: own }) ?? {
    createScriptURL: own,
  };
  return policy.createScriptURL(url.href);
}

// Before the first Worker starts, where no service worker answers this page's requests.
export async function bindWorkers() {
  if (!document.querySelector("meta[http-equiv=Content-Security-Policy]")) return; // the checkout's web/ has none
  const { headers } = await fetch(new URL("./boot.js", import.meta.url)); // as all scripts of Workers are answered
  throughBlobs = !headers.has("Content-Security-Policy");
}

export function startWorker(url) {
  if (!throughBlobs || (!isForeign && url.pathname.endsWith(ELSEWHERE)))
    return new Worker(scriptAddress(url), { type: "module" });
  const script = new Blob([`import ${JSON.stringify(url.href)};`], { type: "text/javascript" });
  return new Worker(scriptAddress(new URL(URL.createObjectURL(script))), { type: "module" });
}
