// What a hub says of a file besides its bytes. Hugging Face and its mirrors have OWNER/REPO/resolve/REVISION/PATH for the
// file, and OWNER/REPO/raw/REVISION/PATH for what git has of it: for a large file a pointer with its size and SHA-256.

// The page of a repository; of other hosts than Hugging Face only with /tree/REVISION, as such a path may be a file's.
const REPOSITORY = /^(\/[^/]+\/[^/]+?)(?:\/tree\/([^/]+))?\/?$/;
const HUGGING_FACE = ["huggingface.co", "hf.co"];
const RESOLVE = /^(\/.+)\/resolve\/([^/]+)\/(.+)$/;
const POINTER = /^version https:\/\/git-lfs\.github\.com\/spec\/v1\noid sha256:([0-9a-f]{64})\nsize (\d{1,15})\n/;
const MOST_BYTES = 1024; // a pointer has about 130
const WAIT_MS = 10_000;

export const isOnHub = (address) => RESOLVE.test(new URL(address).pathname);

export function isRepository(address) {
  const { host, pathname } = new URL(address);
  const found = REPOSITORY.exec(pathname);
  return Boolean(found && (found[2] || HUGGING_FACE.includes(host)));
}

// Resolves with the files of a repository, or of the folder that has a repository's file: {base, names}, where a file is
// at base + name. null if the hub does not say. In the reader's Worker.
export async function listing(address) {
  const url = new URL(address);
  const [, repository, revision = "main", path = ""] = (isRepository(address) ? REPOSITORY : RESOLVE).exec(
    url.pathname,
  );
  try {
    const response = await fetch(`${url.origin}/api/models${repository}/revision/${revision}`, {
      signal: AbortSignal.timeout(WAIT_MS),
      cache: "no-store",
      referrerPolicy: "no-referrer",
    });
    if (!response.ok) return null;
    const { sha, siblings } = await response.json();
    const folder = path.slice(0, path.lastIndexOf("/") + 1);
    const files = siblings.map(({ rfilename }) => rfilename).filter((name) => name.startsWith(folder));
    const names = files.map((name) => name.slice(folder.length)).filter((name) => !name.includes("/"));
    return { base: `${url.origin}${repository}/resolve/${sha}/${folder}`, names };
  } catch {
    return null;
  }
}

// Resolves with {url, bytes, sha256}: the address with the commit in place of a branch, so that it stays the same file,
// and the file's size and sum; null, and the address as it was, where the hub does not say. In the reader's Worker.
export async function pinned(address) {
  const found = { url: address, bytes: null, sha256: null };
  const url = new URL(address);
  const [, repository, revision, path] = RESOLVE.exec(url.pathname);
  try {
    const signal = AbortSignal.timeout(WAIT_MS);
    const response = await fetch(`${url.origin}${repository}/raw/${revision}/${path}`, {
      signal,
      cache: "no-store",
      referrerPolicy: "no-referrer",
    });
    const commit = response.headers.get("X-Repo-Commit") ?? "";
    if (response.ok && /^[0-9a-f]{40}$/.test(commit)) {
      found.url = `${url.origin}${repository}/resolve/${commit}/${path}${url.search}`;
    }
    const pointer = response.ok && POINTER.exec(await beginning(response));
    if (pointer) Object.assign(found, { sha256: pointer[1], bytes: Number(pointer[2]) });
  } catch {
    // The model itself says what is wrong with the address or the network.
  }
  return found;
}

async function beginning(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  while (text.length < MOST_BYTES) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  reader.cancel().catch(() => {});
  return text;
}
