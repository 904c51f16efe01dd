#!/usr/bin/env python3
"""Step 1b for plain English: phonemes of hibari-tts beside each text of english.py, for kokoro_torch.py, or beside each
clip of real.py and an4.py, for sound_labels.py. Where there are unknown signs, another number of words, or too many
phonemes, a text is left out, and a clip stays as it is."""

import argparse
import json
from pathlib import Path

from english import spelled_as_said
from kokoro_torch import MOST_PHONEMES, word_marks
from synthesize import linked


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("texts", help="the .jsonl of english.py, or of clips")
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
            written = text["text"] if "text" in text else " ".join(w for w, _ in text["words"])
            say = text["say"] if "say" in text else spelled_as_said(written)
            phonemes = "".join(c for c in " ".join(phonemize(linked(say))) if c in vocab)
            fits = (
                2 < len(phonemes) <= MOST_PHONEMES
                and phonemes.strip(" ,.?!")
                and len(word_marks(phonemes)[1]) == len(written.split())
            )
            kept += fits
            if "words" in text:
                out.write(json.dumps({**text, "phonemes": phonemes} if fits else text, ensure_ascii=False) + "\n")
            elif fits:
                found = {"group": text["group"], "text": written, "phonemes": phonemes}
                out.write(json.dumps(found, ensure_ascii=False) + "\n")
    print(kept, "of", count, "have phonemes")


if __name__ == "__main__":
    main()
