"""`voxtab batch`: nothing is lost, and nothing is computed twice, however and whenever it ends."""

import contextlib
import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path, PurePath

import pytest
import soundfile

from native.batch import forked
from voxtab.errors import DeviceError
from voxtab.native import cli, models
from voxtab.native.audio.file import open_audio
from voxtab.native.batch.worker import FAILURES, Item, ResultsFolder
from voxtab.native.formats import Format

ORACLE = Path(__file__).parents[2] / "oracle" / "delay480"
GGUF = ORACLE / "tiny-q4.gguf"
SEED = 20261129


@pytest.fixture(scope="module")
def opened(device, run):
    model = run(models.read_model(GGUF).load(device))
    model.close = lambda: None  # the next batch has it again
    return model


@pytest.fixture
def batch(capfd, monkeypatch, opened, tmp_path):
    """Runs `voxtab batch` in this process, with a model that is open already; returns (status, stderr)."""

    async def load_model(found, gpu):
        return opened

    monkeypatch.setattr(models, "load_model", load_model)

    def run(*arguments):
        monkeypatch.setattr(
            sys, "argv", [*map(str, ["voxtab", "batch", *arguments, "--model", GGUF, "--out", tmp_path / "out"])]
        )
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capfd.readouterr()
        assert out == ""
        return end.value.code or 0, err

    return run


def make_clips(folder, count):
    """Half seconds of speech, each another one."""
    samples, rate = soundfile.read(ORACLE / "clip.flac")
    folder.mkdir(exist_ok=True)
    for i in range(count):
        at = 1000 * i % (len(samples) - 8000)
        soundfile.write(folder / f"{i:02}.wav", samples[at : at + 8000], rate)


@pytest.fixture
def clips(tmp_path):
    make_clips(tmp_path / "clips", 4)
    return tmp_path / "clips"


def results(folder):
    """Name -> (identity, content) of each result: a file that is written again is another one."""
    found = {}
    for path in sorted(folder.rglob("*.json")):
        with contextlib.suppress(FileNotFoundError):
            about = path.stat()
            found[path.relative_to(folder).as_posix()] = (about.st_ino, about.st_mtime_ns, path.read_text())
    return found


def failures(folder):
    path = folder / FAILURES
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def command(clips, out):
    return [sys.executable, "-m", "voxtab", "batch", clips, "--model", GGUF, "--out", out]


class Command:
    """A process of `voxtab batch`, as a user starts it."""

    def __init__(self, clips, out):
        self._process = subprocess.Popen(command(clips, out), stderr=subprocess.PIPE, text=True)
        self.pid = self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def end(self) -> tuple[int, str]:
        """Status and stderr, once it has ended."""
        _, err = self._process.communicate()
        return self._process.returncode, err


class Fork:
    """The same, in a tenth of the time: forked.py says how."""

    def __init__(self, clips, out):
        self._stderr = out.with_name("stderr")
        arguments = [str(argument) for argument in command(clips, out)[4:]]
        self._process = FORKS.Process(target=forked.batch, args=(arguments, str(self._stderr)))
        self._process.start()
        self.pid = self._process.pid
        self.is_running = self._process.is_alive

    def end(self) -> tuple[int, str]:
        self._process.join()
        return self._process.exitcode, self._stderr.read_text() if self._stderr.exists() else ""


FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([forked.__name__])


@pytest.mark.parametrize(
    "kind, kills, clips, longest", [(Command, 3, 8, 0.2), (Fork, 25, 50, 0.02)], ids=["command", "fork"]
)
def test_killed_at_random_moments(tmp_path, kind, kills, clips, longest):
    """A whole result is there or none, what is there is never computed again, and at last all are there."""
    make_clips(tmp_path / "clips", clips)
    out, before = tmp_path / "out", {}
    moments = random.Random(SEED)
    for _ in range(kills):
        new, delay = (
            moments.choice([0, 0, 1, 1, 1, 2]),
            moments.uniform(0, longest),
        )  # after so many results, and seconds
        process = kind(tmp_path / "clips", out)
        while len([*out.glob("*.json")]) < len(before) + new:
            assert process.is_running(), process.end()
            time.sleep(0.002)
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        assert process.end() == (-signal.SIGKILL, "")
        after = results(out)
        assert before.items() <= after.items()
        for _, _, content in after.values():
            assert json.loads(content)["audio_seconds"] == 0.5
        before = after
    assert 0 < len(before) < clips
    done = kind(tmp_path / "clips", out).end()
    assert done == (0, f"voxtab: {clips} files: {clips - len(before)} done now, {len(before)} before or elsewhere.\n")
    after = results(out)
    assert before.items() <= after.items() and [*after] == [f"{i:02}.json" for i in range(clips)]
    assert not [*out.rglob("*.aside")] and not failures(out)


def test_two_at_once_share_the_work(tmp_path):
    make_clips(tmp_path / "clips", 12)
    processes = [
        subprocess.Popen(command(tmp_path / "clips", tmp_path / "out"), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    counts = []
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0
        counts.append([*map(int, re.fullmatch(r"voxtab: 12 files: (\d+) done now, (\d+) before .*\n", err).groups())])
    assert sum(done for done, _ in counts) == 12 and all(sum(count) == 12 for count in counts)
    assert len(results(tmp_path / "out")) == 12


def test_again_and_with_one_more(batch, clips, tmp_path):
    assert batch(clips) == (0, "voxtab: 4 files: 4 done now, 0 before or elsewhere.\n")
    before = results(tmp_path / "out")
    assert json.loads(before["00.json"][2])["audio"] == str(clips / "00.wav")
    make_clips(clips / "deep", 1)
    assert batch(clips, "--recursive") == (0, "voxtab: 5 files: 1 done now, 4 before or elsewhere.\n")
    after = results(tmp_path / "out")
    assert before.items() <= after.items() and after.keys() - before.keys() == {"deep/00.json"}


def test_nothing_is_opened_if_all_is_done(batch, clips, monkeypatch):
    batch(clips)
    monkeypatch.setattr(models, "load_model", None)
    assert batch(clips)[0] == 0


def test_all_formats_are_one_result(batch, clips, tmp_path):
    """It is done when the last of its files is there."""
    batch(clips, "--format", "all")
    (tmp_path / "out/02.json").unlink()
    text = (tmp_path / "out/02.txt").stat()
    assert batch(clips, "--format", "all")[1] == "voxtab: 4 files: 1 done now, 3 before or elsewhere.\n"
    assert (tmp_path / "out/02.json").exists() and (tmp_path / "out/02.txt").stat().st_ino != text.st_ino
    kinds = ("json", "srt", "tsv", "txt", "vtt")
    assert sorted(path.name for path in (tmp_path / "out").glob("0*")) == [
        f"0{i}.{kind}" for i in range(4) for kind in kinds
    ]


def test_failures_are_listed_and_tried_again(batch, clips, tmp_path):
    good = (clips / "01.wav").read_bytes()
    (clips / "01.wav").write_bytes(b"no audio")
    (clips / "03.wav").write_bytes(b"")
    status, err = batch(clips, "/nowhere.wav")
    assert status == 2 and err.count("\n") == 4 and "/nowhere.wav does not exist" in err
    assert err.endswith("voxtab: 4 files: 2 done now, 0 before or elsewhere, 2 missing.\n")
    listed = failures(tmp_path / "out")
    assert [line["audio"] for line in listed] == [str(clips / "01.wav"), str(clips / "03.wav")]
    assert all(f"voxtab: {line['error']}\n" in err for line in listed)
    (clips / "01.wav").write_bytes(good)
    assert batch(clips)[1].endswith("voxtab: 4 files: 1 done now, 2 before or elsewhere, 1 missing.\n")
    assert [line["audio"] for line in failures(tmp_path / "out")] == [str(clips / "03.wav")]
    (clips / "03.wav").write_bytes(good)
    assert batch(clips) == (0, "voxtab: 4 files: 1 done now, 3 before or elsewhere.\n")
    assert not (tmp_path / "out" / FAILURES).exists()


def test_a_fault_of_ours_at_one_file_does_not_end_it(batch, clips, tmp_path, monkeypatch):
    original = open_audio

    def fail(source):
        return {}[source] if source.endswith("01.wav") else original(source)

    monkeypatch.setattr("voxtab.native.batch.worker.open_audio", fail)
    status, err = batch(clips)
    assert status == 2 and "01.wav met a fault of Voxtab (KeyError: " in err and "3 done now" in err
    assert [line["audio"] for line in failures(tmp_path / "out")] == [str(clips / "01.wav")]


def test_damaged_audio_is_listed_and_not_computed_again(batch, clips, tmp_path):
    path = clips / "long.mp3"
    soundfile.write(path, soundfile.read(ORACLE / "clip.flac")[0], 16000)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 800] = bytes(800)
    path.write_bytes(data)
    status, err = batch(path)
    (listed,) = failures(tmp_path / "out")
    assert status == 2 and listed["audio"] == str(path) and "note" in listed and listed["note"] in err
    assert batch(path) == (0, "voxtab: 1 files: 0 done now, 1 before or elsewhere.\n")
    assert failures(tmp_path / "out") == [listed]


def test_what_a_killed_batch_left_half_written(batch, clips, tmp_path):
    batch(clips)
    own, name = tmp_path / "out/.voxtab-batch", FAILURES
    (own / "12.aside").write_text("half a res")
    (tmp_path / "out" / name).write_text('{"audio": "/gone.wav", "error": "No."}\n{"audio": "/x.w')
    assert batch(clips)[0] == 0
    assert not [*own.glob("*.aside")] and [line["audio"] for line in failures(tmp_path / "out")] == ["/gone.wav"]


def test_no_gpu_ends_it(batch, clips, tmp_path, monkeypatch):
    """That is no fault of a file: none is listed."""

    async def load_model(found, gpu):
        raise DeviceError("No GPU was found.")

    monkeypatch.setattr(models, "load_model", load_model)
    status, err = batch(clips)
    assert status == 2 and err == (
        "voxtab: 4 files: 0 done now, 0 before or elsewhere, 4 missing.\nvoxtab: No GPU was found.\n"
    )
    assert not failures(tmp_path / "out")


@pytest.mark.parametrize(
    "arguments, words",
    [(["-"], "standard input"), (["{clips}", "--delay-ms", "100"], "100 ms"), (["{clips}", "--format", "xml"], "xml")],
)
def test_what_is_refused(batch, clips, tmp_path, arguments, words):
    status, err = batch(*(argument.format(clips=clips) for argument in arguments))
    assert status == 2 and words in err and not (tmp_path / "out").exists()


def test_a_claim_is_one_processs_alone(tmp_path):
    """Also where two items share a lock, and until the context ends, however it ends."""
    first, second = (ResultsFolder(tmp_path, Format("json")) for _ in range(2))
    items = [Item(f"{i}.wav", PurePath(str(i))) for i in range(600)]
    with pytest.raises(KeyError), first.claim(items[0], wait=False) as claimed:
        assert claimed
        free = 0
        for item in items:
            with second.claim(item, wait=False) as other:
                free += other
        assert 580 < free < 600  # 600 items have 256 locks
        raise KeyError
    with second.claim(items[0], wait=False) as claimed:
        assert claimed
