// What the store knows of a shard: the text NAME.pieces beside the shard's bytes.
//
//   {"url": ..., "bytes": ..., "tag": ..., "piece_bytes": ...}      the header, JSON
//   SHA-256 of the header
//   SHA-256 of piece 0, or 64 dashes if it is not there
//   ...
//   SHA-256 of the whole shard, or 64 dashes if it was not checked
//
// The header is written first, and never changes. A line is replaced once its piece is there. A crash at any moment leaves
// at worst a line whose piece is not right, and that is found when the piece is read, as each piece is checked. If
// the header is damaged, a new one of the same length takes its place, and the lines stay.

export const LINE = 65; // bytes
const SHA256 = /^[0-9a-f]{64}$/;
export const NONE = "-".repeat(64);
const LARGEST_PIECE = 16 << 20; // bytes
const LARGEST_SHARD = 2 ** 50;

async function sha256(text) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Two lines: an object as JSON, and the SHA-256 of that. A header is {url, tag}: strings or null; {bytes, piece_bytes}:
// numbers.
export async function format(header) {
  // No character beyond ASCII: then a place in the text is a place in the file.
  const json = JSON.stringify(header).replace(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `${json}\n${await sha256(json)}\n`;
}

export const countOf = ({ bytes, piece_bytes }) => Math.ceil(bytes / piece_bytes);

// The first of two lines that `format` has made, or null if they are damaged.
export async function verified(text) {
  const [json, sum] = text.split("\n", 2);
  return sum === (await sha256(json)) ? json : null;
}

// A header, checked, or null if it is damaged.
async function parseHeader(text) {
  try {
    const header = JSON.parse(await verified(text));
    const { bytes, piece_bytes } = header;
    const isSound =
      Number.isInteger(bytes) &&
      Number.isInteger(piece_bytes) &&
      bytes > 0 &&
      bytes <= LARGEST_SHARD &&
      piece_bytes > 0 &&
      piece_bytes <= LARGEST_PIECE &&
      countOf(header) <= text.length / LINE;
    return isSound ? header : null;
  } catch {
    return null;
  }
}

// {header, start, sums, whole}: the header or null; where the lines begin; the sum of each piece, or null where it is not
// there; the sum of all, or null.
export async function parse(text) {
  const header = await parseHeader(text);
  if (!header) return { header, start: 0, sums: [], whole: null };
  const start = text.indexOf("\n", text.indexOf("\n") + 1) + 1;
  return { header, start, ...parseLines(text.slice(start), countOf(header)) };
}

// A text that was cut short, or damaged, has fewer sums.
export function parseLines(text, count) {
  const lines = Array.from({ length: count + 1 }, (_, i) => {
    const line = text.slice(i * LINE, i * LINE + LINE - 1);
    return SHA256.test(line) ? line : null;
  });
  return { sums: lines.slice(0, count), whole: lines[count] };
}
