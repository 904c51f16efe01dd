"""Verifying: each kind of damage is found and named; a sound model is sound."""

import asyncio
import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from voxtab import resources
from voxtab.check import Clip
from voxtab.errors import ModelError
from voxtab.native import models
from voxtab.native.audio.file import open_audio
from voxtab.native.making import checking, converting, shards, tekken
from voxtab.native.making.running import beginning

ORACLE = Path(__file__).parents[2] / "oracle" / "delay480"
WHOLE = ORACLE / "tiny-q4.gguf"


@pytest.fixture
def cut(tmp_path):
    shards.cut(models.read_model(WHOLE), tmp_path / "cut", 100_000, 20_000)
    return tmp_path / "cut"


def damage(path, at, bits=1):
    data = bytearray(path.read_bytes())
    data[at] ^= bits
    path.write_bytes(data)


def refused(check, *arguments) -> str:
    with pytest.raises(ModelError) as caught:
        check(*arguments)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    return message


# --- sums


def test_right_sums(cut):
    told = []
    sums = checking.check_sums(cut / "manifest.json", lambda done, total: told.append((done, total)))
    assert (sums.shards, sums.right, sums.without) == (9, 8 * 5 + 2, 0)
    assert told[-1] == (836_480, 836_480)
    assert checking.find_manifest(cut) == checking.find_manifest(cut / "manifest.json") == cut / "manifest.json"
    assert checking.find_manifest(WHOLE) is checking.find_manifest(ORACLE) is None


@pytest.mark.parametrize("at", [0, 19_999, 20_000, 99_999])
def test_a_flipped_bit_is_in_its_piece(cut, at):
    damage(cut / "shard-ad", at)
    message = refused(checking.check_sums, cut / "manifest.json")
    assert "shard-ad is damaged in 1 of its 5 pieces" in message and f"({at // 20_000 + 1})" in message


def test_sums_of_whole_shards_and_none(cut):
    manifest = json.loads((cut / "manifest.json").read_text())
    for shard in manifest["shards"]:
        del shard["pieces"]
    del manifest["shards"][4]["sha256"]
    (cut / "manifest.json").write_text(json.dumps(manifest))
    sums = checking.check_sums(cut / "manifest.json")
    assert (sums.shards, sums.right, sums.without) == (9, 8, 1)
    damage(cut / "shard-ae", 5)  # the one without
    checking.check_sums(cut / "manifest.json")
    damage(cut / "shard-af", 5)
    assert "shard-af is damaged" in refused(checking.check_sums, cut / "manifest.json")


def test_shards_that_are_not_there_or_short(cut):
    with open(cut / "shard-ab", "r+b") as file:
        file.truncate(99_999)
    assert "99,999 bytes instead of 100,000" in refused(checking.check_sums, cut / "manifest.json")
    (cut / "shard-ab").unlink()
    assert "shard-ab cannot be read" in refused(checking.check_sums, cut / "manifest.json")
    (cut / "manifest.json").write_text("[" * 100_000)
    assert "is not a manifest" in refused(checking.check_sums, cut / "manifest.json")


# --- values


def test_values_of_a_sound_model():
    values = checking.check_values(models.read_model(WHOLE))
    assert values == checking.Values([], 1.0)


@pytest.mark.parametrize("type", ["F16", "BF16"])
def test_the_share_of_the_lowest_code(tmp_path, type):
    """The two rules that Q4_0 files were made by (spec 9.2); other types have no codes."""
    path = tmp_path / f"{type}.gguf"
    asyncio.run(converting.convert(models.read_model(ORACLE / "model.safetensors"), path, type))
    assert checking.check_values(models.read_model(path)) == checking.Values([], None)


def test_blocks_made_by_the_other_rule_never_use_it(tmp_path):
    """amax / 7: the codes are -7 to 7."""
    path = tmp_path / "sevenths.gguf"
    shutil.copy(WHOLE, path)
    shutil.copy(ORACLE / "tekken.json", tmp_path)
    reader = gguf.GGUFReader(path, "r+")
    for tensor in reader.tensors:
        if tensor.tensor_type == gguf.GGMLQuantizationType.Q4_0:
            codes = tensor.data.reshape(-1, 18)[:, 2:]
            codes[:] = np.where(codes & 15, codes, codes | 1)
            codes[:] = np.where(codes >> 4, codes, codes | 16)
    reader.data.flush()
    assert checking.check_values(models.read_model(path)).lowest_code == 0


def test_values_that_are_no_numbers_or_all_zero(tmp_path):
    values = load_file(ORACLE / "model.safetensors")
    for name in ("config.json", "tekken.json"):
        shutil.copy(ORACLE / name, tmp_path)
    values["language_model.model.layers.1.mlp.down_proj.weight"][:] = 0
    save_file(values, tmp_path / "model.safetensors")
    found = models.read_model(tmp_path)
    assert checking.check_values(found).zeros == ["layers.1.feed_forward.w2.weight"]
    values["language_model.model.norm.weight"][7] = np.nan
    save_file(values, tmp_path / "model.safetensors")
    assert "norm.weight" in refused(checking.check_values, models.read_model(tmp_path))


# --- speech


def test_a_model_whose_rows_are_in_the_wrong_order_does_not(run, shared_device, tmp_path):
    """Every byte is a good number, and every shape is right."""
    embedded = resources.embedded_model()
    for path in embedded.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    reader = gguf.GGUFReader(next(tmp_path.glob("*.gguf")), "r+")
    for tensor in reader.tensors:
        if ".wq.weight" in tensor.name:
            tensor.data[:] = tensor.data[::-1].copy()
    reader.data.flush()

    samples = beginning(open_audio(resources.embedded_clips()[0]), 60)
    with pytest.raises(ModelError, match="does not hear speech"):
        run(checking.hear(models.read_model(tmp_path), Clip("an110.flac", samples, "enter sixty two thirty one"), 0))


def test_what_a_tokenizer_lacks(tmp_path):
    assert tekken.missing(ORACLE / "tekken.json") == tekken.missing(resources.embedded_model() / "tekken.json") == []
    content = json.loads((ORACLE / "tekken.json").read_text())
    del content["config"]["pattern"], content["config"]["num_vocab_tokens"], content["audio"]
    (tmp_path / "tekken.json").write_text(json.dumps(content))
    assert tekken.missing(tmp_path / "tekken.json") == ["config.pattern", "config.num_vocab_tokens", "audio"]
    assert tekken.content([bytes([byte]) for byte in range(256)]).keys() == {*content, "audio"}
