#!/usr/bin/env python3
"""Step 1 for plain English: sentences to synthesise, one JSON object a line: {"group", "say", "text"}.

`text` is what the model should write: capitals and punctuation, numbers in words. `say` is the same for a
voice, word for word, where a capital letter standing alone is spelled. One sentence in fifty, chosen by its own
letters, is kept for validation (--held-out)."""

import argparse
import json
import random
import re
import zipfile
import zlib
from collections import Counter
from pathlib import Path

from package_texts import read_packages
from texts import DAYS, MONTHS, PEOPLE, Writer, read_sentences, transcript

QUESTION = re.compile(
    r"(who|what|when|where|why|how|whose|which)( |'s )|"
    r"(is|are|am|was|were|do|does|did|can|could|will|would|should|have|has|may|shall|"
    r"isn't|aren't|don't|doesn't|didn't|can't|won't) "
    r"(i|you|he|she|it|we|they|the|this|that|there|your|my|a|any|anyone)\b"
)
SHARES = {
    "chat": 32,
    "wordnet": 15,
    "definitions": 9,
    "messages": 9,
    "melville": 7,
    "ljspeech": 8,
    "austen": 5,
    "arctic": 1,
    "commands": 6,
    "spoken_numbers": 8,
}
OFTEN = 5  # sentences with a word that has been in fewer than so many before come early
SHARED = 6  # words in a row that no sentence may share with what validates
NUMBERS = {
    "letters": 15,
    "spelled": 8,
    "digits": 12,
    "codes": 6,
    "numbers": 12,
    "dates": 18,
    "times": 14,
    "money": 6,
    "phone": 9,
}


def normalised(text):
    """the words that are compared: lower case, letters and apostrophes only"""
    return [w for w in (re.sub(r"[^a-z']", "", t).strip("'") for t in text.lower().replace("’", "'").split()) if w]


def proper_names(sentences):
    """words that are nearly always written with a capital inside sentences"""
    capital, small = Counter(), Counter()
    for s in sentences:
        for w in s.split()[1:]:
            w = re.sub(r"[^A-Za-z']", "", w)
            (capital if w[:1].isupper() else small)[w.lower()] += 1
    return {w for w, n in capital.items() if n >= 2 and n > 4 * small[w] and len(w) > 1} | set(
        PEOPLE + DAYS + MONTHS
    ) - {"may", "march", "rose"}


def write_out(say, names):
    """plain spoken words as a sentence: capitals for the first word, names and single letters, a mark at the end"""
    words = say.split()
    for i, w in enumerate(words):
        bare = w.strip(",.?!").lower()
        if i == 0 or bare in names or bare == "i" or bare.startswith("i'"):
            words[i] = w[:1].upper() + w[1:]
    text = " ".join(words)
    if text[-1] in ".?!":
        return text
    return text.rstrip(",;:") + ("?" if QUESTION.match(say.lower()) else ".")


def tidy(line):
    """a line in the characters that the model writes, or None"""
    line = re.sub(r"\s*(--|—|;|:)\s*", ", ", line.replace("_", "").replace("’", "'").replace('"', "")).strip(" ,'")
    line = re.sub(r"\s*,[\s,]*", ", ", re.sub(r"([.?!])[.?!]+", r"\1", line)).strip()
    words = line.split()
    if (
        not 2 <= len(words) <= 24
        or not re.fullmatch(r"[A-Za-z][A-Za-z',.?! ]*", line)
        or re.search(r"[A-Z]{2}|\b(Mr|Mrs|Dr|St|etc)\.$|\b[B-HJ-Z]\b| '|' ", line)
    ):
        return None
    if re.search(r"[.?!](?! |$)", re.sub(r"\b(Mr|Mrs|Dr)\.", "", line)):
        return None
    line = line[0].upper() + line[1:]
    return line if line[-1] in ".?!" else line.rstrip(",") + ("?" if QUESTION.match(line.lower()) else ".")


RIGHT = {"i": "I", "im": "I'm", "ive": "I've"} | {
    w.replace("'", ""): w for w in ["don't", "didn't", "doesn't", "can't", "isn't", "wasn't", "that's", "what's"]
}


def chat_lines(wheel, known):
    """sentences of the BYU chit-chat data set in words that the other texts know, with the apostrophes put right"""
    with zipfile.ZipFile(wheel) as z:
        talks = json.loads(z.read("chitchat_dataset/dataset.json"))
    for message in (m["text"] for talk in talks.values() for turn in talk["messages"] for m in turn):
        for line in re.split(r"(?<=[.?!]) +", message):
            line = re.sub(r"\b\w+\b", lambda m: RIGHT.get(m[0], m[0]), line)
            if len(line.split()) >= 3 and all(w in known for w in normalised(line)):
                yield line


def read_sources(folder, packages):
    """{source: sentences as written}, and the proper names in them"""
    files = {"wordnet": "wordnet*", "ljspeech": "ljspeech*", "austen": "austen*", "arctic": "arctic*"}
    raw = {
        name: next(Path(folder).glob(pattern)).read_text(encoding="utf-8").splitlines()
        for name, pattern in files.items()
    }
    raw |= {name: list(filter(None, map(tidy, lines))) for name, lines in read_packages(packages).items()}
    known = Counter(w for lines in raw.values() for line in lines for w in normalised(line))
    chat = next(Path(packages).glob("chitchat_dataset-*.whl"))
    raw["chat"] = chat_lines(chat, {w for w, n in known.items() if n > 1})
    tidied = {name: list(dict.fromkeys(filter(None, map(tidy, lines)))) for name, lines in raw.items()}
    names = proper_names([s for name in ("ljspeech", "austen", "wordnet") for s in tidied[name]])
    return {name: [write_out(s, names) for s in sentences] for name, sentences in tidied.items()}, names


def kept_for_validation(text):
    return zlib.crc32(" ".join(normalised(text)).encode()) % 50 == 0


def spelled_as_said(text):
    """what a voice reads: an A that is the article must not stand as a capital"""
    return re.sub(r"\bA (?=[a-z])", "a ", text)


def runs(words):
    """every SHARED words in a row"""
    return {tuple(words[i : i + SHARED]) for i in range(len(words) - SHARED + 1)}


def said_in(prefixes):
    """`runs` of the clips of so many .jsonl, and the whole texts of the short ones"""
    found = set()
    for path in prefixes:
        for clip in map(json.loads, Path(path).read_text(encoding="utf-8").splitlines()):
            words = normalised(" ".join(w for w, _ in clip["words"]))
            found |= runs(words) or {tuple(words)}
    return found


def rare_first(lines):
    """the lines, at first two of three with a word that fewer than OFTEN of them had before: whoever speaks only the
    first ones says every word, and the rest as often as it should be said"""
    rare, rest, heard = [], [], Counter()
    for line in lines:
        words = set(normalised(line["text"]))
        if any(heard[w] < OFTEN for w in words):
            rare.append(line)
            heard.update(words)
        else:
            rest.append(line)
    placed = [*((1.5 * i, line) for i, line in enumerate(rare)), *((3.0 * i, line) for i, line in enumerate(rest))]
    return [line for _, line in sorted(placed, key=lambda x: x[0])]


def sentences(sources, names, plain, count, r, held_out=False):
    """{"group", "say", "text"} in the proportions of SHARES, with as many passes over a source as that takes"""
    writer = Writer(r, plain)
    queues = {name: [] for name in sources}
    groups = r.choices(list(SHARES), SHARES.values(), k=count)
    for group in groups:
        if group in sources:
            if not queues[group]:
                queues[group] = [s for s in sources[group] if kept_for_validation(s) == held_out]
                r.shuffle(queues[group])
            text = queues[group].pop()
            yield {"group": group, "say": spelled_as_said(text), "text": text}
        else:
            kind = group if group == "commands" else r.choices(list(NUMBERS), NUMBERS.values())[0]
            say = getattr(writer, kind)()
            text = write_out(say, names)
            if transcript(say) == normalised(text):
                yield {"group": kind, "say": say, "text": text}


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("folder", help="folder of *.txt with plain sentences")
    a.add_argument("packages", help="where the chitchat-dataset wheel is, and what package_texts.py reads")
    a.add_argument("out", help="the .jsonl to write")
    a.add_argument("--count", type=int, default=150000)
    a.add_argument("--keep", type=int, default=10**9, help="so many of them, those with rare words first")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--held-out", action="store_true", help="only sentences kept for validation")
    a.add_argument("--never", nargs="*", default=[], help="the .jsonl of clips with which no sentence may share words")
    a = a.parse_args()
    sources, names = read_sources(a.folder, a.packages)
    counts, words, never = Counter(), Counter(), said_in(a.never)
    made = sentences(sources, names, read_sentences(a.folder), a.count, random.Random(a.seed), a.held_out)
    fresh = (line for line in made if not (said := normalised(line["text"])) or not never & {*runs(said), tuple(said)})
    with open(a.out, "w", encoding="utf-8") as f:
        for line in rare_first(fresh)[: a.keep]:
            f.write(json.dumps(line) + "\n")
            counts[line["group"]] += 1
            words.update(normalised(line["text"]))
    print(
        {name: len(s) for name, s in sources.items()},
        "sentences;",
        dict(counts),
        "written;",
        sum(words.values()),
        "words,",
        len(words),
        "different",
    )


if __name__ == "__main__":
    main()
