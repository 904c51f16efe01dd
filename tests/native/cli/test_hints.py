"""Arguments that the command does not understand: each is told what to do instead, at once."""

import json
import subprocess
import sys

import pytest

from voxtab.native import cli


@pytest.fixture
def refusal(capsys, monkeypatch):
    """Runs the command; returns the one sentence with which it refuses."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["voxtab", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        assert (end.value.code, out, err.count("\n")) == (2, "", 1) and err.endswith(" --help.\n"), (out, err)
        return err

    return run


@pytest.mark.parametrize(
    "arguments, advice",
    [
        ("--output_format srt a.wav", "--output_format: use --format srt"),
        ("--output_format=txt a.wav", "--output_format: use --format text"),
        ("a.wav --output_format", "use --format;"),
        ("-f vtt a.wav", "-f: use --format vtt"),
        ("-f a.wav", "-f: name audio files without an option"),
        ("--file a.wav", "name audio files without an option"),
        ("a.wav -otxt", "-otxt: use --format text"),
        ("a.wav -osrt", "-osrt: use --format srt"),
        ("a.wav -oj", "-oj: use --format json"),
        ("a.wav -of out", "-of: use -o FILE"),
        ("a.wav --output_dir out", "--output_dir: use --output-dir DIR"),
        ("a.wav --language en", "hears by itself which language"),
        ("a.wav -l auto", "hears by itself which language"),
        ("a.wav --task translate", "does not translate"),
        ("a.wav --word_timestamps True", "--format json"),
        ("a.wav --initial_prompt hi", "no prompt"),
        ("a.wav --beam_size 5", "no such setting"),
        ("a.wav --device cuda", "strongest"),
        ("a.wav --vad_filter True", "silence gives no text"),
        ("a.wav --diarize", "speakers"),
        ("a.wav --verbose False", "--timestamps"),
        ("a.wav -m model.bin", "-m: use --model"),
        ("a.wav --model base", "base is a model of whisper"),
        ("a.wav --model large-v3-turbo", "large-v3-turbo is a model of whisper"),
        ("a.wav --delay_ms 480", "--delay_ms: use --delay-ms if"),
        ("a.wav --fromat srt", "--fromat: use --format if"),
        ("a.wav --form srt", "--form: use --format if"),
        ("a.wav --zzz", "there is no option --zzz;"),
        ("-dash.flac", "write ./-dash.flac, or -- in front of it"),
    ],
)
def test_what_to_do_instead(refusal, arguments, advice):
    assert advice in refusal("transcribe", *arguments.split())


@pytest.mark.parametrize(
    "arguments, advice",
    [
        ("talk.mp3", "use voxtab transcribe talk.mp3"),
        ("https://example.org/talk", "use voxtab transcribe https://example.org/talk"),
        ("transcibe a.wav", "use transcribe if you mean that"),
        ("zzz", "use transcribe, "),
        ("--model m.gguf a.wav", "--model comes before any command"),
        ("info a b", "'b' is one argument too many"),
        ("info --model x", "there is no option --model;"),
        ("serve --output_format srt", "there is no option --output_format;"),
        ("batch a.wav -o out", "-o: use --out DIR"),
        ("batch a.wav --output-dir out", "--output-dir: use --out DIR"),
        ("batch a.wav --out out --language de", "hears by itself"),
        ("listen --language de", "hears by itself"),
    ],
)
def test_no_command(refusal, arguments, advice):
    assert advice in refusal(*arguments.split())


def test_a_file_whose_name_begins_with_a_dash(refusal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-d").write_bytes(b"")
    assert "write ./-d, or -- in front of it" in refusal("transcribe", "-d")


def test_nothing_needless_is_imported():
    """So that help and refusals come at once."""
    cases = ["", "--help", "--version", "transcribe --help", "transcribe", "transcribe /nowhere", "transcribe -l de x"]
    code = f"""
import contextlib, io, json, sys
from voxtab.native import cli
for case in {cases!r}:
    sys.argv = ["voxtab", *case.split()]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        cli.main()
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"av", "numpy", "soxr", "tqdm", "wgpu", "starlette"} & {*json.loads(done.stdout)}


def test_bare_and_version(capsys, monkeypatch):
    for arguments, begins in (([], "usage: voxtab"), (["--version"], f"voxtab {cli.__version__}\n")):
        monkeypatch.setattr(sys, "argv", ["voxtab", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        assert not end.value.code and out.startswith(begins) and err == ""
