#!/usr/bin/env python3
"""Step 1b for plain English: phonemes of hibari-tts beside each text of english.py, for kokoro_torch.py.
Leaves out what has unknown signs, another number of words, or too many phonemes."""

import argparse
import json
from pathlib import Path

from kokoro_torch import MOST_PHONEMES, word_marks
from synthesize import linked


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("texts", help="the .jsonl of english.py")
    a.add_argument("vocab", help="Kokoro's vocab.json")
    a.add_argument("out", help="the .jsonl to write")
    a = a.parse_args()
    from hibari import Hibari

    phonemize, vocab = Hibari().phonemize, json.loads(Path(a.vocab).read_text())["vocab"]
    kept, count = 0, 0
    with open(a.texts, encoding="utf-8") as f, open(a.out, "w", encoding="utf-8") as out:
        for line in f:
            text = json.loads(line)
            count += 1
            phonemes = "".join(c for c in " ".join(phonemize(linked(text["say"]))) if c in vocab)
            if (
                2 < len(phonemes) <= MOST_PHONEMES
                and phonemes.strip(" ,.?!")
                and len(word_marks(phonemes)[1]) == len(text["text"].split())
            ):
                out.write(
                    json.dumps({"group": text["group"], "text": text["text"], "phonemes": phonemes}, ensure_ascii=False)
                    + "\n"
                )
                kept += 1
    print(kept, "of", count, "texts")


if __name__ == "__main__":
    main()
