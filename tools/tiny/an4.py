#!/usr/bin/env python3
"""Step 4: AN4 in the same form as synthesize.py writes: OUT.i16 and OUT.jsonl, for training or,
with --held-out, the speakers kept for validation (every eighth by name)."""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import soundfile
import soxr
from english import write_out
from texts import DAYS, MONTHS

NAMES = set(DAYS + MONTHS)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("folder", help="where an4-train.opus, .tsv and -words.jsonl are")
    a.add_argument("out", help="prefix of the two files to write")
    a.add_argument("--held-out", action="store_true")
    a.add_argument(
        "--sentences",
        action="store_true",
        help="words as the model of plain English writes them: capitals, and a mark at the end",
    )
    a = a.parse_args()
    folder = Path(a.folder)
    samples, rate = soundfile.read(folder / "an4-train.opus", dtype="float32")
    if rate != 16000:
        samples = soxr.resample(samples, rate, 16000)
    rows = list(csv.DictReader((folder / "an4-train.tsv").read_text().splitlines(), delimiter="\t"))
    words = {w["utt"]: w["w"] for w in map(json.loads, (folder / "an4-train-words.jsonl").read_text().splitlines())}
    held_out = set(sorted({r["speaker"] for r in rows})[::8])
    done, kept = 0, 0
    with open(a.out + ".i16", "wb") as audio, open(a.out + ".jsonl", "w", encoding="utf-8") as index:
        for r in rows:
            if (r["speaker"] in held_out) != a.held_out or r["utterance"] not in words:
                continue
            start = int(r["start16k"])
            clip = samples[start : start + int(r["n16k"])]
            clip = np.round(clip / max(np.abs(clip).max(), 1e-3) * 0.5 * 32767).astype("<i2")
            aligned = words[r["utterance"]]
            if a.sentences:
                say = " ".join(w.upper() if len(w) == 1 else w for w, *_ in aligned)
                aligned = [[w, *times] for w, (_, *times) in zip(write_out(say, NAMES).split(), aligned)]
            audio.write(clip.tobytes())
            index.write(
                json.dumps(
                    {
                        "start": done,
                        "n": len(clip),
                        "voice": r["speaker"],
                        "group": "an4",
                        "utterance": r["utterance"],
                        "first": aligned[0][1],
                        "words": [[w, e] for w, _, e in aligned],
                    }
                )
                + "\n"
            )
            done += len(clip)
            kept += 1
    print(
        kept,
        "utterances,",
        round(done / 16000 / 60, 1),
        "minutes,",
        len(held_out),
        "speakers held out:",
        *sorted(held_out),
    )


if __name__ == "__main__":
    main()
