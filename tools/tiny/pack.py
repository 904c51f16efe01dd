#!/usr/bin/env python3
"""Clip files to one Opus file and its index, for carrying, and back."""

import argparse
import json
from pathlib import Path

import numpy as np
import soundfile


def pack(prefixes, out):
    parts, lines, done = [], [], 0
    for p in prefixes:
        clips = [json.loads(line) for line in Path(p + ".jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
        if not clips:
            continue
        n = clips[-1]["start"] + clips[-1]["n"]
        parts.append(np.fromfile(p + ".i16", "<i2", n))
        lines += [json.dumps({**c, "start": c["start"] + done}) for c in clips]
        done += n
    with soundfile.SoundFile(out + ".opus", "w", 16000, 1, format="OGG", subtype="OPUS", compression_level=0.96) as f:
        for part in parts:
            f.write(part)
    Path(out + ".jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(len(lines), "clips,", round(done / 16000 / 3600, 2), "h,", Path(out + ".opus").stat().st_size, "bytes")


def unpack(prefix, out):
    with soundfile.SoundFile(prefix + ".opus") as f, open(out + ".i16", "wb") as g:
        assert f.samplerate == 16000
        for block in f.blocks(1 << 20, dtype="int16"):
            g.write(block.tobytes())
    Path(out + ".jsonl").write_bytes(Path(prefix + ".jsonl").read_bytes())


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("what", choices=["pack", "unpack"])
    a.add_argument(
        "prefixes", nargs="+", help="pack: clip files, then the packed prefix; unpack: packed prefix, then clip prefix"
    )
    a = a.parse_args()
    if a.what == "pack":
        pack(a.prefixes[:-1], a.prefixes[-1])
    else:
        unpack(*a.prefixes)


if __name__ == "__main__":
    main()
