#!/usr/bin/env python3
"""Step 8: the clips that are shipped with the model: AN4's an* utterances of held-out speakers only
(the cen* ones spell people's names and addresses), as FLAC, with the reference text and what this
model writes in PyTorch with weights rounded to Q4_0."""

import argparse
import json
from pathlib import Path

import numpy as np
import soundfile
from evaluate import read_clips, transcribe
from model import load, round_weights
from vocabulary import Vocabulary


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("checkpoint", help="prefix of the .pt files of train.py")
    a.add_argument("vocabulary", help="tekken.json")
    a.add_argument("clips", help="prefix of the held-out AN4 clips of an4.py")
    a.add_argument("out", help="folder to write")
    a.add_argument("utterances", nargs="+")
    a = a.parse_args()
    assert all(u.startswith("an") for u in a.utterances), "only an* utterances may be shipped"
    model, _ = load(a.checkpoint)
    round_weights(model.eval())
    vocabulary = Vocabulary(a.vocabulary)
    out = Path(a.out)
    out.mkdir(parents=True, exist_ok=True)
    clips = {c["utterance"]: (s, c) for s, c in read_clips(a.clips)}
    entries = []
    for u in a.utterances:
        samples, clip = clips[u]
        soundfile.write(out / f"{u}.flac", np.round(samples * 32768).astype("<i2"), 16000)
        words = transcribe(model, vocabulary, [samples], model.config.delay_tokens)[0]
        entries.append(
            {
                "file": f"{u}.flac",
                "speaker": clip["voice"],
                "seconds": len(samples) / 16000,
                "reference": " ".join(w for w, _ in clip["words"]),
                "reference_ends": [e for _, e in clip["words"]],
                "text": " ".join(w for w, _ in words),
                "ends": [e for _, e in words],
            }
        )
        print(u, "|", entries[-1]["reference"], "|", entries[-1]["text"])
    (out / "clips.json").write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
