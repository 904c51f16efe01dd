// The links of a chained Ogg file, as files of their own: mediabunny reads the first link only, and ends at damage.

const HEAD = 27; // bytes of a page before its table of segments
const LONGEST = HEAD + 255 + 255 * 255; // bytes of a page
const WINDOW = 1 << 20; // bytes that are read at once
const FIRST = 2; // the flag of a stream's first page

// Resolves with [{blob, lost}]. blob: a link, or what of it is between damaged places, with the link's headers; lost:
// damaged bytes before it. Any other file is one link.
export async function oggLinks(blob) {
  if ((await blob.slice(0, 4).text()) !== "OggS") return [{ blob, lost: 0 }];
  const links = [];
  let headers = []; // [start, end] of the pages of this link that have no audio
  let hasAudio = false; // this link had a page with audio
  let before = 0; // end of the page before
  for await (const { start, end, isFirst, isHeader } of pages(blob)) {
    if (!links.length || (isFirst && hasAudio)) {
      [headers, hasAudio] = [[], false];
      links.push({ ranges: [], lost: 0 });
    }
    if (start > before && hasAudio) links.push({ ranges: [...headers], lost: start - before });
    if (isHeader && !hasAudio) headers.push([start, end]);
    else hasAudio = true;
    const { ranges } = links.at(-1);
    if (ranges.length && ranges.at(-1)[1] === start) ranges.at(-1)[1] = end;
    else ranges.push([start, end]);
    before = end;
  }
  return links.map(({ ranges, lost }) => ({ blob: new Blob(ranges.map(([from, to]) => blob.slice(from, to))), lost }));
}

async function* pages(blob) {
  let bytes = new Uint8Array(0);
  let start = 0; // of these bytes in the file
  for (let at = 0; at < blob.size; ) {
    if (at + LONGEST > start + bytes.length && start + bytes.length < blob.size) {
      start = at;
      bytes = new Uint8Array(await blob.slice(at, at + WINDOW).arrayBuffer());
    }
    const rest = bytes.subarray(at - start);
    const page = rest.subarray(0, pageSize(rest));
    if (page.length && isSound(page)) {
      const isHeader = page.subarray(6, 14).every((byte) => byte === 0); // no sample ends in it
      yield { start: at, end: at + page.length, isFirst: Boolean(page[5] & FIRST), isHeader };
      at += page.length;
    } else {
      const next = rest.indexOf(0x4f, 1); // "O"
      at += next < 0 ? rest.length : next;
    }
  }
}

// Of the page that begins here; 0 if none does.
function pageSize(bytes) {
  const isPage = [0x4f, 0x67, 0x67, 0x53, 0].every((value, i) => bytes[i] === value); // "OggS", version 0
  if (!isPage || bytes.length < HEAD + bytes[26]) return 0;
  const segments = bytes.subarray(HEAD, HEAD + bytes[26]);
  const size = HEAD + segments.length + segments.reduce((sum, segment) => sum + segment, 0);
  return size <= bytes.length ? size : 0;
}

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte << 24;
  for (let bit = 0; bit < 8; bit++) sum = (sum << 1) ^ (sum < 0 ? 0x04c11db7 : 0);
  return sum;
});

// Whether the page's sum (its bytes 22 to 25, which count as 0) is right.
function isSound(page) {
  let sum = 0;
  for (let i = 0; i < page.length; i++) sum = (sum << 8) ^ CRC[(sum >>> 24) ^ (i >= 22 && i < 26 ? 0 : page[i])];
  return sum >>> 0 === new DataView(page.buffer, page.byteOffset).getUint32(22, true);
}
