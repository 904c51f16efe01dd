// The site's service worker, at the top of the built site. The page opens without a network, each file is the one that
// was built, and each answer has the headers of web/headers.json, which bind the Workers too: many hosts send none.
//
// tools/build_site puts SITE before this: {headers: {path: {name: value}}, those of "*" being for all; version: what
// index.html contains; files: {path: [SHA-256 in base64, bytes, group]}}. Groups: "page"; "program" and "library", the
// parts of Python that come first and later; and "self_test", the model that is brought only when it is asked for.
//
// One cache has a file under its address and sum, so a new version brings only what differs. It takes over when the user
// asks for it, or when all tabs of the old one are closed: a tab never gets files of two versions.

const CACHE = `voxtab ${registration.scope}`; // an origin may have several sites
const COMPLETE = ["page", "program", "library"];

// "" is the page itself: some hosts answer index.html with a redirect.
const address = (name) => new URL(name === "index.html" ? "" : name, registration.scope).href;
const key = (name) => `${address(name)}?${SITE.files[name][0]}`;

addEventListener("install", (event) => {
  event.waitUntil(registration.active ? bringNewVersion() : skipWaiting());
});

addEventListener("activate", (event) => {
  event.waitUntil(forgetOthers().then(() => clients.claim()));
});

addEventListener("fetch", (event) => {
  const { method, headers, url } = event.request;
  const { origin, pathname } = new URL(url);
  const scope = new URL(registration.scope);
  if (method !== "GET" || headers.has("Range") || origin !== scope.origin) return;
  const name = decodeURIComponent(pathname.slice(scope.pathname.length)) || "index.html";
  if (name in SITE.files) event.respondWith(file(name, event));
});

// From the page: {verb}, and a port for the answer.
const verbs = {
  // Control of a page that was loaded around the service worker, as a forced reload does.
  claim: () => clients.claim(),
  // How many bytes of these groups are not here yet.
  missing: async ({ groups }) => (await missing(groups)).reduce((sum, name) => sum + SITE.files[name][1], 0),
  bring: async ({ groups }) => {
    for (const name of await missing(groups)) await bring(name);
  },
  // Takes over, unless another tab is open, which would get files of two versions. Resolves with whether it did.
  take_over: async () => {
    // The browser counts a tab for a moment after it was closed.
    for (let tries = 0; (await tabs()) > 1; tries++) {
      if (tries === 10) return false;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await skipWaiting();
    return true;
  },
};

addEventListener("message", (event) => {
  const { data, ports } = event;
  const answer = verbs[data.verb](data);
  event.waitUntil(
    answer.then(
      (found) => ports[0].postMessage({ found }),
      (error) => ports[0].postMessage({ error: error.message }),
    ),
  );
});

async function tabs() {
  const windows = await clients.matchAll({ type: "window", includeUncontrolled: true }); // of the whole origin
  return windows.filter(({ url }) => url.startsWith(registration.scope)).length;
}

async function file(name, event) {
  const cache = await caches.open(CACHE);
  try {
    return (await cache.match(key(name))) ?? (await bring(name).then(() => cache.match(key(name))));
  } catch {
    // The host has another version already, or changes its files, or the disk is full: as without a service worker.
    const answer = await fetch(event.request);
    return answer.type === "opaqueredirect" ? answer : withHeaders(name, answer);
  }
}

const coming = new Map(); // name -> promise

// Fetches a file, checks it and keeps it, unless it is kept.
function bring(name) {
  if (!coming.has(name))
    coming.set(
      name,
      fetched(name).finally(() => coming.delete(name)),
    );
  return coming.get(name);
}

async function fetched(name) {
  const cache = await caches.open(CACHE);
  if (await cache.match(key(name))) return;
  // Some hosts write into the page itself, such as Hugging Face, so its sum is not checked, only its version. What a host
  // writes there is bound by the policy: no script runs that is not a file of this site.
  const isPage = name === "index.html";
  const integrity = isPage ? "" : `sha256-${SITE.files[name][0]}`;
  const answer = await fetch(address(name), { integrity, cache: "no-cache" });
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  if (isPage && !(await answer.clone().text()).includes(SITE.version)) throw new Error(`${name}: of another version`);
  await cache.put(key(name), withHeaders(name, answer));
}

function withHeaders(name, answer) {
  const headers = new Headers(answer.headers);
  for (const gone of ["Content-Encoding", "Content-Length"]) headers.delete(gone); // the body is decoded by now
  for (const [header, value] of Object.entries({ ...SITE.headers["*"], ...SITE.headers[name] }))
    headers.set(header, value);
  return new Response(answer.body, { status: answer.status, statusText: answer.statusText, headers });
}

async function missing(groups) {
  const cache = await caches.open(CACHE);
  const there = new Set((await cache.keys()).map(({ url }) => url));
  return Object.keys(SITE.files).filter((name) => groups.includes(SITE.files[name][2]) && !there.has(key(name)));
}

// Brings what the old version has: what was asked for there is wanted here too.
async function bringNewVersion() {
  const there = (await (await caches.open(CACHE)).keys()).map(({ url }) => url.split("?")[0]);
  const asked = new Set(there);
  for (const name of await missing([...COMPLETE, "self_test"])) {
    if (SITE.files[name][2] !== "self_test" || asked.has(address(name))) await bring(name);
  }
}

async function forgetOthers() {
  const cache = await caches.open(CACHE);
  const ours = new Set(Object.keys(SITE.files).map(key));
  for (const request of await cache.keys()) if (!ours.has(request.url)) await cache.delete(request);
}
