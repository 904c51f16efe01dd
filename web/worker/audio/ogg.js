// The links of a chained Ogg file, as files of their own: mediabunny reads the first link only, and ends at the first
// damaged page.

const HEAD = 27; // bytes of a page before its table of segments
const LONGEST = HEAD + 255 + 255 * 255; // bytes of a page
const WINDOW = 1 << 20; // bytes that are read at once
const FIRST = 2; // the flag of a stream's first page

// Resolves with Blobs: of any other file, the file itself.
export async function oggLinks(blob) {
  if ((await blob.slice(0, 4).text()) !== "OggS") return [blob];
  const links = [[]]; // of each: [start, end] of bytes without damage
  let hasData = false; // this link had a page that is not a stream's first
  for await (const { start, end, isFirst } of pages(blob)) {
    if (isFirst && hasData) links.push([]);
    hasData = !isFirst;
    const link = links.at(-1);
    if (link.length && link.at(-1)[1] === start) link.at(-1)[1] = end;
    else link.push([start, end]);
  }
  return links.map((ranges) => new Blob(ranges.map(([start, end]) => blob.slice(start, end))));
}

async function* pages(blob) {
  let bytes = new Uint8Array(0);
  let start = 0; // of these bytes in the file
  for (let at = 0; at < blob.size; ) {
    if (at + LONGEST > start + bytes.length && start + bytes.length < blob.size) {
      start = at;
      bytes = new Uint8Array(await blob.slice(at, at + WINDOW).arrayBuffer());
    }
    const page = bytes.subarray(at - start);
    const size = pageSize(page);
    if (size && size <= page.length) {
      yield { start: at, end: at + size, isFirst: Boolean(page[5] & FIRST) };
      at += size;
    } else {
      const next = page.indexOf(0x4f, 1); // "O"
      at += next < 0 ? page.length : next;
    }
  }
}

// Of the page that begins here; 0 if none does.
function pageSize(bytes) {
  const isPage = [0x4f, 0x67, 0x67, 0x53, 0].every((value, i) => bytes[i] === value); // "OggS", version 0
  if (!isPage || bytes.length < HEAD + bytes[26]) return 0;
  const segments = bytes.subarray(HEAD, HEAD + bytes[26]);
  return HEAD + segments.length + segments.reduce((sum, size) => sum + size, 0);
}
