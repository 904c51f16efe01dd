"""The guide's commands, in their order, with the self-test model in the place of Mistral's."""

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from voxtab.native import cli, models
from voxtab.native.making import values

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "app/voxtab/native/making/README.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line) for line in re.findall(r"^    (\S.*)$", GUIDE, re.MULTILINE)]


def write_mistrals_files(folder: Path) -> None:
    """The self-test model as BF16 by Mistral's names, as the first command brings the 4B one."""
    found = models.read_model()
    tensors = {}
    for name, tensor in found.directory.tensors.items():
        decoded = values.decode(found.source.read(tensor.offset, tensor.nbytes), tensor.type, tensor.shape)
        tensors[name] = decoded.astype(np.float32)
    folder.mkdir()
    save_file(tensors, folder / "consolidated.safetensors")
    keys = {
        "n_heads": "heads",
        "n_kv_heads": "kv_heads",
        "head_dim": "head_dim",
        "sliding_window": "window",
        "norm_eps": "epsilon",
        "rope_theta": "rope_base",
    }
    encoder, decoder = (
        {key: getattr(stack, field) for key, field in keys.items()}
        for stack in (found.config.encoder, found.config.decoder)
    )
    params = decoder | {"multimodal": {"whisper_model_args": {"encoder_args": encoder}}}
    (folder / "params.json").write_text(json.dumps(params))
    shutil.copy(found.tokenizer_path, folder)


def test_every_command(tmp_path, monkeypatch, capfd, shared_device):
    monkeypatch.chdir(tmp_path)
    ran = []
    for program, *arguments in COMMANDS:
        ran.append(program)
        if program == "hf":
            assert {"consolidated.safetensors", "params.json", "tekken.json"} < {*arguments} and arguments[
                -1
            ] == "mistral"
            write_mistrals_files(tmp_path / "mistral")
        elif program == "tools/build_site":  # tests/web opens what it builds
            assert arguments == ["--out", "site"] and (ROOT / program).is_file()
            (tmp_path / "site").mkdir()
        else:
            monkeypatch.setattr(sys, "argv", [program, *arguments])
            with pytest.raises(SystemExit) as end:
                cli.main()
            out, err = capfd.readouterr()
            assert (program, end.value.code, err) == ("voxtab", 0, ""), arguments
            assert ("speech      'enter sixty two thirty one'" in out) == (
                arguments[0] == "verify" and "--files-only" not in arguments
            )
    assert ran[:5] == ["hf", "voxtab", "voxtab", "tools/build_site", "voxtab"]
    assert Path("whole/voxtral-q4.gguf").read_bytes() == Path("voxtral/voxtral-q4.gguf").read_bytes()
    assert {"manifest.json", "tekken.json", "shard-aa"} == {path.name for path in Path("site/voxtral").iterdir()}


def test_options_and_commands_that_the_guide_names_are_there():
    _, commands = cli.parsers()
    known = {option for command in commands.values() for option in command.options} | {"--out", "--local-dir"}
    assert {*re.findall(r"(?<![\w-])--[a-z][a-z-]*", GUIDE)} <= known
    assert {*re.findall(r"^## (\w+)", GUIDE, re.MULTILINE)} <= commands.keys()
