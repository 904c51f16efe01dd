// Starts a Worker of this site. Its policy is not the page's, but that of its script's answer: see web/headers.json.

let policy; // browsers with Trusted Types take a script's address only from a policy

function own(address) {
  if (new URL(address).origin !== location.origin) throw new Error(`${address} is of another site.`);
  return address;
}

// The address of a script of this site, as browsers take it.
export function scriptAddress(url) {
  policy ??= /** @type {any} */ (globalThis).trustedTypes?.createPolicy("voxtab", { createScriptURL: own }) ?? {
    createScriptURL: own,
  };
  return policy.createScriptURL(url.href);
}

export const startWorker = (url) => new Worker(scriptAddress(url), { type: "module" });
