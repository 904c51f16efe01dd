// Mutated sidecars through the store's own parser, in node: whatever a file says, it answers at once with a sound header
// or with none, and with no more sums than the file has lines. Usage: node mutate_sidecars.mjs SIDECAR.JS COUNT
const [, , module, count] = process.argv;
const { countOf, format, LINE, NONE, parse } = await import(module);

let seed = 1;
const random = (below) => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return Math.floor((seed / 2 ** 32) * below);
};
const NUMBERS = [0, -1, 1, 0.5, 2 ** 31, 2 ** 53, 1e300, null, "9", [], {}];
const ends = { sound: 0, refused: 0 };
for (let i = 0; i < count; i++) {
  const header = { url: "https://a.example/b", bytes: 10000, tag: '"x"', piece_bytes: 1000 };
  if (i % 3 === 0) header[["bytes", "piece_bytes"][random(2)]] = NUMBERS[random(NUMBERS.length)];
  const lines = Array.from({ length: 11 }, () => (random(2) ? NONE : "0123456789abcdef".repeat(4)));
  let text = (await format(header)) + lines.map((line) => `${line}\n`).join("");
  for (let change = random(3); change; change--) {
    const at = random(text.length);
    const put = String.fromCharCode(random(128));
    text = text.slice(0, at) + [put, "", put + put][random(3)] + text.slice(at + 1 + (random(4) ? 0 : random(300)));
  }
  const { header: found, sums, start } = await parse(text);
  ends[found ? "sound" : "refused"]++;
  const isSound = found ? sums.length === countOf(found) && sums.length * LINE <= text.length : !sums.length && !start;
  if (!isSound) throw new Error(JSON.stringify(text));
}
console.log(JSON.stringify(ends));
