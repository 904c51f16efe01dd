// Times of words after their text was edited.

// words: [{text, start, end, at}] of the text `before`. Returns those of the text `after`: words outside the change keep
// their times, and those inside it share the time of the words that they replace.
export function retimed(words, before, after) {
  let head = 0; // characters that both have at the start
  while (head < Math.min(before.length, after.length) && before[head] === after[head]) head++;
  let tail = 0; // and at the end
  const most = Math.min(before.length, after.length) - head;
  while (tail < most && before.at(-1 - tail) === after.at(-1 - tail)) tail++;
  const joins = (at) => at > 0 && at < after.length && /\S/.test(after[at - 1]) && /\S/.test(after[at]);
  const grown = after.length - before.length;
  const first = words.filter(({ at, text }) => at + text.length < head || (at + text.length === head && !joins(head)));
  const isLast = ({ at }) => at >= before.length - tail && !(at === before.length - tail && joins(at + grown));
  const last = words.slice(first.length).filter(isLast);
  const replaced = words.slice(first.length, words.length - last.length);
  const from = first.length ? first.at(-1).at + first.at(-1).text.length : 0;
  const until = last.length ? last[0].at + grown : after.length;
  const start = replaced[0]?.start ?? first.at(-1)?.end ?? last[0]?.start ?? 0;
  const end = replaced.at(-1)?.end ?? last[0]?.start ?? start;
  return [
    ...first,
    ...shared([...after.slice(from, until).matchAll(/\S+/g)], from, start, Math.max(start, end)),
    ...last.map((word) => ({ ...word, at: word.at + grown })),
  ];
}

// The found words, with the time from start to end shared by their letters.
function shared(found, from, start, end) {
  const letters = found.reduce((sum, [text]) => sum + text.length, 0);
  let done = 0;
  return found.map(({ 0: text, index }) => {
    const time = (count) => start + ((end - start) * count) / letters;
    const word = { text, start: time(done), end: time(done + text.length), at: from + index };
    done += text.length;
    return word;
  });
}
