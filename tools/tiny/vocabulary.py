#!/usr/bin/env python3
"""Step 3: the tokenizer, in Tekken's file format: 1000 special ids, 256 bytes, then merges
learned on the training texts. Words carry their leading space; marks after them are pieces of their own."""

import argparse
import base64
import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from texts import transcript

BOS, PAD, WORD, FIRST = 1, 32, 33, 1000
PATTERN = r" ?[^\s]+|\s+"  # words with their leading space


class Vocabulary:
    def __init__(self, path):
        pieces = json.loads(Path(path).read_text(encoding="utf-8"))["vocab"]
        self.pieces = [base64.b64decode(p["token_bytes"]) for p in pieces]
        self.rank = {p: i for i, p in enumerate(self.pieces)}
        self.size = FIRST + len(self.pieces)
        self.cache = {}

    def begins(self):
        """for each id whether it may follow a whole word: the first piece of a word, a mark, or no text at all"""
        return np.array([True] * FIRST + [p[:1] in (b" ", b",", b".", b"?", b"!") for p in self.pieces])

    def encode(self, word):
        """ids of one word with its leading space"""
        if word not in self.cache:
            self.cache[word] = [FIRST + self.rank[p] for chunk in chunks(word) for p in self.merge(chunk)]
        return self.cache[word]

    def merge(self, chunk):
        """merge the pair of lowest rank until none is left"""
        parts = [bytes([b]) for b in chunk.encode()]
        while len(parts) > 1:
            best = min(range(len(parts) - 1), key=lambda i: self.rank.get(parts[i] + parts[i + 1], 1 << 30))
            if parts[best] + parts[best + 1] not in self.rank:
                break
            parts[best : best + 2] = [parts[best] + parts[best + 1]]
        return parts

    def decode(self, ids):
        return b"".join(self.pieces[i - FIRST] for i in ids if i >= FIRST).decode("utf-8", "replace").strip()


def chunks(word):
    """what merges stay within: the word with its leading space, and the marks after it"""
    return re.findall(r"[^,.?!]+|[,.?!]+", " " + word)


def learn(counts, merges):
    words = [([bytes([b]) for b in chunk.encode()], n) for w, n in counts.items() for chunk in chunks(w)]
    pairs, where = Counter(), defaultdict(set)
    for i, (parts, n) in enumerate(words):
        for pair in zip(parts, parts[1:]):
            pairs[pair] += n
            where[pair].add(i)
    pieces = []
    while len(pieces) < merges:
        pair = max(pairs, key=lambda p: (pairs[p], p))
        piece = pair[0] + pair[1]
        if piece not in pieces:
            pieces.append(piece)
        for i in where.pop(pair):
            parts, n = words[i]
            for p in zip(parts, parts[1:]):
                pairs[p] -= n
            j = 0
            while j + 1 < len(parts):
                if (parts[j], parts[j + 1]) == pair:
                    parts[j : j + 2] = [piece]
                j += 1
            for p in zip(parts, parts[1:]):
                pairs[p] += n
                where[p].add(i)
        del pairs[pair]
    return pieces


def main():
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "app"))
    from voxtab.native.making import tekken  # here: the GPU machine has this folder alone

    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("texts", help="the .jsonl of texts.py or english.py")
    a.add_argument("out", help="tekken.json to write")
    a.add_argument("--size", type=int, default=2048, help="ids in all, special ones included")
    a = a.parse_args()
    counts = Counter()
    for line in Path(a.texts).read_text(encoding="utf-8").splitlines():
        text = json.loads(line)
        counts.update(text["text"].split() if "text" in text else transcript(text["say"]))
    pieces = [bytes([b]) for b in range(256)] + learn(counts, a.size - FIRST - 256)
    Path(a.out).write_text(
        json.dumps(tekken.content(pieces, pattern=PATTERN), ensure_ascii=False) + "\n", encoding="utf-8"
    )
    vocabulary = Vocabulary(a.out)
    tokens = sum(len(vocabulary.encode(w)) * n for w, n in counts.items())
    print(vocabulary.size, "ids;", round(tokens / sum(counts.values()), 2), "tokens a word")


if __name__ == "__main__":
    main()
