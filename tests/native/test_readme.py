"""README's examples run."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from voxtab import bench, resources
from voxtab.native import cli

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [shlex.split(line, comments=True)[1:] for line in re.findall(r"^    (voxtab .*)$", README, re.MULTILINE)]
ENDLESS = ("listen", "serve")


@pytest.fixture
def files(tmp_path, monkeypatch, shared_device):
    """The files that the examples name, the embedded model as the large one."""
    (gguf,) = resources.embedded_model().glob("*.gguf")
    for folder in (tmp_path, tmp_path / "voxtral", tmp_path / "talks"):
        folder.mkdir(exist_ok=True)
        for name, source in (
            ("voxtral-q4.gguf", gguf),
            ("tekken.json", gguf.parent / "tekken.json"),
            *((name, resources.embedded_clips()[0]) for name in ("talk.mp3", "a.wav", "b.flac")),
        ):
            shutil.copy(source, folder / name)
    monkeypatch.chdir(tmp_path)

    monkeypatch.setattr(bench, "LIVE_STEPS", 1)
    monkeypatch.setattr(bench, "FILE_RUNS", 1)
    monkeypatch.setattr(bench, "SECONDS", 1)
    return tmp_path


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.splitlines()[-1].strip())
def test_programs(files, capsys, program):
    exec(compile(program, "README.md", "exec"), {"__name__": "__main__"})
    out = capsys.readouterr().out
    assert "enter" in out


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_commands(files, capfd, monkeypatch, arguments):
    if arguments[0] in ENDLESS:
        cli.parsers()[0].parse_args(arguments)
        return
    monkeypatch.setattr(sys, "argv", ["voxtab", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capfd.readouterr()
    assert not end.value.code and (err == "" or arguments[0] == "batch")
    assert out or {"--output-dir", "--out"} & {*arguments}


def test_there_are_examples():
    assert PROGRAMS and {"transcribe", "batch", "listen", "info", "bench", "serve"} <= {
        arguments[0] for arguments in COMMANDS
    }
