"""Cutting and joining: the same bytes, the sums as they are, and nothing half made."""

import hashlib
from pathlib import Path

import pytest

from voxtab.errors import ModelError, UserError
from voxtab.native import models
from voxtab.native.making import shards
from voxtab.weights.manifest import parse_manifest
from voxtab.weights.shard_names import in_order

ORACLE = Path(__file__).parents[2] / "oracle" / "delay480"
WHOLE = ORACLE / "tiny-q4.gguf"


def cut(folder, shard_bytes, piece_bytes=20_000, source=WHOLE):
    return shards.cut(models.read_model(source), folder, shard_bytes, piece_bytes)


@pytest.mark.parametrize("shard_bytes, count", [(1 << 30, 1), (300_001, 3)])
def test_shards_are_the_file_cut(tmp_path, shard_bytes, count):
    """The page reads the manifest."""
    told = []
    entries = shards.cut(
        models.read_model(WHOLE), tmp_path / "cut", shard_bytes, 20_000, lambda done, total: told.append((done, total))
    )
    data, folder = WHOLE.read_bytes(), tmp_path / "cut"
    assert told[-1] == (len(data), len(data))
    assert [entry["path"] for entry in entries] == ["shard-aa", "shard-ab", "shard-ac"][:count]
    assert b"".join((folder / entry["path"]).read_bytes() for entry in entries) == data
    text = (folder / "manifest.json").read_text()
    read, tokenizer = parse_manifest(text, "https://example.org/models/manifest.json")
    assert tokenizer == "https://example.org/models/tekken.json"
    for entry, shard, start in zip(entries, read, range(0, len(data), shard_bytes), strict=True):
        part = data[start : start + shard_bytes]
        sums = [hashlib.sha256(part[at : at + 20_000]).hexdigest() for at in range(0, len(part), 20_000)]
        assert shard == {
            "url": f"https://example.org/models/{entry['path']}",
            "bytes": len(part),
            "sha256": hashlib.sha256(part).hexdigest(),
            "pieces": {"bytes": 20_000, "sha256": sums},
        }
    assert (folder / "tekken.json").read_bytes() == (ORACLE / "tekken.json").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"cut"}
    shards.join(models.read_model(folder), tmp_path / "back" / "whole.gguf")
    assert {path.name for path in (tmp_path / "back").iterdir()} == {"whole.gguf", "tekken.json"}
    assert (tmp_path / "back" / "whole.gguf").read_bytes() == data


@pytest.mark.parametrize("count", [1, 27, 676, 677, 1000])
def test_names_are_in_the_order_of_the_bytes(count):
    names = shards.shard_names(count)
    assert len(names) == len({*names}) == count and in_order(sorted(names)) == names


def test_shards_are_cut_again(tmp_path):
    cut(tmp_path / "small", 100_000)
    cut(tmp_path / "large", 400_000, source=tmp_path / "small")
    assert sorted(path.stat().st_size for path in (tmp_path / "large").glob("shard-*")) == [36_480, 400_000, 400_000]


def test_what_a_killed_run_left_is_replaced(tmp_path):
    part = tmp_path / "cut.part"
    part.mkdir()
    (part / "shard-zz").write_bytes(b"half")
    cut(tmp_path / "cut", 300_001)
    assert not part.exists() and not (tmp_path / "cut" / "shard-zz").exists()


@pytest.mark.parametrize(
    "make", [lambda path: cut(path, 300_001), lambda path: shards.join(models.read_model(WHOLE), path)]
)
def test_a_failed_run_leaves_nothing(tmp_path, monkeypatch, make):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards, "put_tokenizer", full)
    with pytest.raises(OSError, match="No space left"):
        make(tmp_path / "made")
    assert not [*tmp_path.iterdir()]


def test_refused(tmp_path):
    for arguments, words in (
        ((tmp_path, 300_001), "exists already"),
        ((tmp_path / "cut", 100), "8,365 shards"),
        ((tmp_path / "cut", 300_001, 1 << 25), "33,554,432"),
    ):
        with pytest.raises(UserError, match=words):
            cut(*arguments)
    with pytest.raises(ModelError, match="not one GGUF file"):
        cut(tmp_path / "cut", 300_001, source=ORACLE / "model.safetensors")
    with pytest.raises(ModelError, match="not one GGUF file"):
        shards.join(models.read_model(ORACLE / "model.safetensors"), tmp_path / "whole.gguf")
    assert not [*tmp_path.iterdir()]
