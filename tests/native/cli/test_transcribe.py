"""`voxtab transcribe`: what goes where, and when. test_results.py has what comes out."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stuck import falls
from voxtab import rut, subtitles
from voxtab.native import cli, formats, models
from voxtab.native.cli import outputs, progress
from voxtab.transcriber import ROOM_SECONDS, Transcriber

ORACLE = Path(__file__).parents[2] / "oracle" / "delay480"
RECORDING = soundfile.read(ORACLE / "clip.flac")[0]


@pytest.fixture(scope="module")
def opened(device, run):
    """A tiny model that writes nonsense."""
    return run(models.read_model(ORACLE / "tiny-q4.gguf").load(device))


@pytest.fixture
def voxtab(capfd, monkeypatch, opened):
    """Runs `voxtab transcribe` with a model that is open already; returns (status, stdout, stderr)."""

    async def load(found, gpu):
        return opened

    monkeypatch.setattr(progress, "load", load)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["voxtab", "transcribe", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code or 0, *capfd.readouterr()

    return run


@pytest.fixture
def talks(tmp_path):
    for name, samples in (("a.wav", RECORDING[:12000]), ("deep/b.wav", RECORDING[20000:32000])):
        (tmp_path / "talks" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "talks" / name, samples, 16000)
    return tmp_path / "talks"


@pytest.fixture
def texts(voxtab, talks):
    """What the model writes for both, alone."""
    return [voxtab(talks / name)[1].rstrip("\n") for name in ("a.wav", "deep/b.wav")]


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_several_have_their_names_in_front(voxtab, talks, texts):
    a, b = texts
    assert a and b and a != b
    assert voxtab("--recursive", talks) == (0, f"{talks}/a.wav: {a}\n{talks}/deep/b.wav: {b}\n", "")
    assert voxtab(talks) == (0, f"{talks}/a.wav: {a}\n", "")  # a folder may get a second file
    assert voxtab(talks / "a.wav") == (0, f"{a}\n", "")


def test_timestamps(voxtab, talks, texts, tmp_path):
    status, out, err = voxtab(talks / "a.wav", "--timestamps")
    assert (status, err) == (0, "")
    lines = [re.fullmatch(r"\[00:0\d\.\d{3} --> 00:0\d\.\d{3}\] (.+)", line)[1] for line in out[:-1].split("\n")]
    assert "".join("".join(lines).split()) == "".join(texts[0].split())
    named = "".join(f"{talks}/a.wav: {line}\n" for line in out[:-1].split("\n"))
    assert voxtab(talks, "--timestamps")[1] == named
    assert voxtab(talks / "a.wav", "--timestamps", "-o", tmp_path / "a.txt") == (0, "", "")
    assert (tmp_path / "a.txt").read_text() == out


def test_a_timed_line_of_an_hour():
    line = formats.timed_line(subtitles.Segment("late", 3599.5, 3601))
    assert line == "[59:59.500 --> 01:00:01.000] late\n"


def test_timestamps_come_as_segments_are_complete(voxtab, tmp_path, monkeypatch):
    """The first line is out before the last audio is fed."""
    path = tmp_path / "long.wav"
    soundfile.write(path, np.resize(RECORDING, (ROOM_SECONDS + 13) * 16000), 16000)
    printed, finish = [], Transcriber.finish
    monkeypatch.setattr(outputs, "print", lambda text, **_: printed.append(text), raising=False)
    monkeypatch.setattr(Transcriber, "finish", lambda self: (printed.append("fed"), finish(self)))
    assert voxtab(path, "--timestamps")[0] == 0
    assert 0 < printed.index("fed") < len(printed) - 1


def test_a_folder_of_results(voxtab, talks, texts, tmp_path):
    out = tmp_path / "new" / "out"
    assert voxtab("--recursive", talks, "--format", "all", "--output-dir", out) == (0, "", "")
    kinds = ("json", "srt", "tsv", "txt", "vtt")
    assert files(out) == [f"{name}.{kind}" for name in ("a", "deep/b") for kind in kinds]
    result = json.loads((out / "deep/b.json").read_text())
    assert result["text"] == texts[1] and result["audio"] == str(talks / "deep/b.wav")
    assert result["segments"] and result["words"] and "tokens" not in result
    assert (out / "a.txt").read_text() == texts[0] + "\n"
    assert (out / "a.srt").read_text() == voxtab(talks / "a.wav", "--format", "srt")[1]


@pytest.mark.parametrize("name, format", [("x.srt", "srt"), ("x.VTT", "vtt"), ("x.jsonl", "json"), ("x", "text")])
def test_one_file(voxtab, talks, name, format):
    """Its suffix tells the format."""
    path, audio = talks / name, talks / "a.wav"
    path.write_text("before")
    assert voxtab(audio, "-o", path) == (0, "", "")
    expected, content = voxtab(audio, "--format", format)[1], path.read_text()
    if format == "json":
        expected, content = (json.loads(text)["segments"] for text in (expected, content))
    assert content == expected and files(talks) == ["a.wav", "deep/b.wav", name]
    voxtab(audio, "-o", path, "--format", "tsv")
    assert path.read_text().startswith("start\tend\ttext\n")


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_each_result_is_written_when_it_is_done(voxtab, talks, texts, tmp_path, format, monkeypatch):
    """So a later failure loses nothing; a JSON array is complete even then."""
    started = Transcriber.__init__
    count = iter(range(9))

    def fail_at_the_second(self, *arguments, **options):
        if next(count) == 1:
            raise KeyboardInterrupt
        started(self, *arguments, **options)

    monkeypatch.setattr(Transcriber, "__init__", fail_at_the_second)
    status, out, err = voxtab("--recursive", talks, "--format", format, "--tokens")
    assert (status, err) == (130, "")
    results = json.loads(out) if format == "json" else [json.loads(line) for line in out.splitlines()]
    assert [result["text"] for result in results] == texts[:1] and results[0]["tokens"]
    count = iter(range(9))
    assert voxtab("--recursive", talks, "--format", format, "--output-dir", tmp_path / "out")[0] == 130
    assert files(tmp_path / "out") == [f"a.{format}"]


def test_a_json_array_of_none(voxtab, talks, monkeypatch):
    def refuse(self, samples):
        raise cli.UserError("No.")

    monkeypatch.setattr(Transcriber, "feed", refuse)
    status, out, err = voxtab("--recursive", talks, "--format", "json")
    assert status == 2 and json.loads(out) == [] and err.count("voxtab: No.\n") == 2


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["{a}", "{b}", "--format", "srt"], "--output-dir"),
        (["{folder}", "--format", "vtt"], "--output-dir"),
        (["{a}", "--format", "all"], "--output-dir"),
        (["{a}", "--format", "all", "-o", "x"], "--output-dir"),
        (["{a}", "{b}", "-o", "x.txt"], "--output-dir"),
        (["{folder}", "-o", "x.txt"], "--output-dir"),
        (["{a}", "-o", "{folder}"], "is a folder: write into it with --output-dir"),
        (["{a}", "-o", "nowhere/"], "is a folder: write into it with --output-dir"),
        (["{a}", "-o", "{a}"], "is the audio itself"),
        (["{a}", "-o", "{a}/x"], "cannot be written to"),
        (["{a}", "--output-dir", "{a}"], "cannot be written to"),
        (["{a}", "--output-dir", "x", "-o", "y"], "give one of them"),
        (["{a}", "--timestamps", "--format", "srt"], "has times anyway"),
        (["{a}", "--tokens"], "--format json"),
        (["{a}", "{b}", "{folder}/a.mp3", "--output-dir", "x"], "a.mp3 does not exist"),
    ],
)
def test_what_does_not_fit_together(voxtab, talks, monkeypatch, tmp_path, arguments, words):
    monkeypatch.setattr(progress, "load", None)
    monkeypatch.chdir(tmp_path)
    names = {"a": talks / "a.wav", "b": talks / "deep/b.wav", "folder": talks}
    if "a.mp3" in words:
        (talks / "a.wav").write_bytes(b"")
        (talks / "deep/b.wav").write_bytes(b"")
    status, out, err = voxtab(*(argument.format(**names) for argument in arguments))
    assert status == 2 and out == "" and words in err and err.startswith("voxtab: ")
    assert files(tmp_path) == ["talks/a.wav", "talks/deep/b.wav"] and (talks / "a.wav").exists()


def test_progress_with_the_time_that_is_left(voxtab, monkeypatch):
    """Only where stderr is a terminal, and nothing of it stays there."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    bar = progress.audio_bar(10.0, "talk.mp3", hidden=False)
    assert bar.disable
    monkeypatch.setattr(sys, "stderr", terminal)
    for seconds, shown in (
        (10.0, r"talk.mp3:  50% \|#+ *\| 5 of 10 s, \d\d:\d\d left"),
        (None, r"talk.mp3: 5 s in 00:0"),
    ):
        with progress.audio_bar(seconds, "talk.mp3", hidden=False) as bar:
            bar.ascii, bar.mininterval = True, 0
            bar.update(5)
        assert re.search(shown, terminal.getvalue()), terminal.getvalue()
    assert progress.audio_bar(10.0, "talk.mp3", hidden=True).disable


def test_standard_input(talks, texts):
    """A pipe is read as it comes. In a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "voxtab", "transcribe", "-", "--format", "json", "--model", ORACLE / "tiny-q4.gguf"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = process.communicate((talks / "a.wav").read_bytes(), timeout=300)
    assert (process.returncode, err) == (0, b"") and json.loads(out)["text"] == texts[0]


@pytest.mark.parametrize("guard", [True, False], ids=["guarded", "not guarded"])
def test_where_the_model_wrote_nothing_is_told(voxtab, tmp_path, monkeypatch, guard):
    monkeypatch.setattr(rut, "VOICED", 20)
    soundfile.write(tmp_path / "talk.wav", np.tile(RECORDING, 3), 16000)
    falls(monkeypatch, 39 + 20)
    status, out, err = voxtab(tmp_path / "talk.wav", "--format", "json", *([] if guard else ["--no-guard"]))
    found = json.loads(out)
    assert status == 0
    if guard:
        (at,) = found["restarts"]
        assert 1 < at < 2 and f"talk.wav: from {at:.1f} s on, the model wrote nothing although someone talked." in err
        assert found["words"][-1]["end"] > 9
    else:
        assert "restarts" not in found and "wrote nothing" not in err and found["words"][-1]["end"] < 2


def test_alternatives_in_the_json(voxtab, talks):
    status, out, err = voxtab(talks / "a.wav", "--format", "json", "--alternatives", "2")
    words = json.loads(out)["words"]
    assert (status, err) == (0, "") and words
    assert all(0 < word["confidence"] <= 1 and {len(token) for token in word["alternatives"]} == {2} for word in words)
    assert voxtab(talks / "a.wav", "--format", "json", "--alternatives", "9")[0] == 2
