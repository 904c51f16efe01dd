"""The tiny oracle in other programs' layouts: the same tokens as transformers', and the same text, from each."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import soundfile

from voxtab.errors import ModelError, TokenizerError
from voxtab.native import models
from voxtab.transcriber import Transcriber
from voxtab.weights import dialects
from weights import dialect_files
from weights.dialect_files import ORACLE, PARAMS, tensors_of, write_gguf

EXPECTED = json.loads((ORACLE / "expected.json").read_text())


@dataclass
class Reader:
    device: object
    run: object

    def tokens(self, path, tokenizer=None) -> list[int]:
        """Those of the oracle's clip, read to its end; the text must be the oracle's too."""
        found = models.read_model(path, tokenizer)
        model = self.run(found.load(self.device, cache_f16=False))
        transcriber = Transcriber(model, EXPECTED["delay_ms"])
        transcriber.feed(soundfile.read(ORACLE / "clip.flac", dtype="float32")[0])
        transcriber.finish()
        text = self.run(_text(transcriber))
        model.start(found.config.schedule())  # nothing of the device is closed: tests share it
        assert text == self.text(transcriber.tokens)
        return transcriber.tokens

    @staticmethod
    def text(tokens) -> str:
        pieces = dialect_files.pieces()
        prompt = 33 + EXPECTED["delay_ms"] // 80
        spoken = b"".join(pieces[token - 1000] for token in tokens[prompt:] if token >= 1000)
        return spoken.decode(errors="replace").removeprefix(" ")


async def _text(transcriber) -> str:
    return "".join([text async for text in transcriber.text()])


@pytest.fixture
def reader(device, run):
    return Reader(device, run)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The oracle as a folder with the files of a dialect, without a tekken.json."""
    kept: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in kept:
            kept[name] = tmp_path_factory.mktemp("dialect") / name
            dialect_files.write(kept[name], name)
        return kept[name]

    return get


@pytest.mark.parametrize("dialect", ["transcribe.cpp", "CrispASR", "voxtral.cpp", "llama.cpp"])
def test_a_gguf_of_another_program(made, reader, dialect):
    """By its path, with its own vocabulary."""
    found = models.read_model(made(dialect) / "model.gguf")
    assert found.directory.dialect == dialect
    theirs = models.read_model(ORACLE / "model.safetensors").config
    for ours, right in ((found.config.encoder, theirs.encoder), (found.config.decoder, theirs.decoder)):
        assert replace(ours, epsilon=0) == replace(right, epsilon=0) and ours.epsilon == pytest.approx(right.epsilon)
    assert found.config.half_rope == (dialect in ("transcribe.cpp", "CrispASR"))
    assert reader.tokens(made(dialect) / "model.gguf") == EXPECTED["tokens_f32"]


def test_text_without_its_mmproj(made, tmp_path):
    shutil.copy(made("llama.cpp") / "model.gguf", tmp_path)
    with pytest.raises(
        ModelError, match="half of a model that llama.cpp has in two files, .* no .gguf files with mmproj"
    ):
        models.read_model(tmp_path)
    for name in ("mmproj-a.gguf", "b-mmproj-f16.gguf"):
        shutil.copy(made("llama.cpp") / "mmproj-model.gguf", tmp_path / name)
    with pytest.raises(ModelError, match="holds 2 .gguf files with mmproj in the name"):
        models.read_model(tmp_path)
    (tmp_path / "mmproj-a.gguf").unlink()
    assert models.read_model(tmp_path).directory.dialect == "llama.cpp"  # the folder has one of each
    with pytest.raises(ModelError, match="no tensor"):
        models.read_model(tmp_path / "b-mmproj-f16.gguf")


@pytest.mark.parametrize("prefix", ["", "model."])
def test_mistrals_own_files(tmp_path, reader, prefix):
    """consolidated.safetensors with params.json; rows stay interleaved with `model.` in front of the names."""
    tensors = {prefix + name: tensor for name, tensor in tensors_of("Mistral").items()}
    safetensors.numpy.save_file(tensors, tmp_path / "consolidated.safetensors")
    with pytest.raises(ModelError, match="holds no params.json"):
        models.read_model(tmp_path)
    (tmp_path / "params.json").write_text(json.dumps(PARAMS))
    found = models.read_model(tmp_path, ORACLE / "tekken.json")
    assert (found.directory.dialect, found.config.half_rope) == ("Mistral", False)
    assert reader.tokens(tmp_path, ORACLE / "tekken.json") == EXPECTED["tokens_f32"]
    (tmp_path / "params.json").write_text(json.dumps(PARAMS | {"head_dim": None, "n_heads": 4}))
    with pytest.raises(ModelError, match="head_dim is 'None'"):
        models.read_model(tmp_path)
    (tmp_path / "params.json").write_text(json.dumps(PARAMS | {"multimodal": {}}))
    with pytest.raises(ModelError, match="params.json does not say '.*encoder_args.n_heads'"):
        models.read_model(tmp_path)


def test_both_layouts_in_one_folder(tmp_path):
    """As on the hub: Hugging Face's counts, with its own config.json, and `voxtab info` names it."""
    for name in ("model.safetensors", "config.json", "tekken.json"):
        shutil.copy(ORACLE / name, tmp_path)
    safetensors.numpy.save_file(tensors_of("Mistral"), tmp_path / "consolidated.safetensors")
    (tmp_path / "params.json").write_text("{}")
    found = models.read_model(tmp_path)
    assert found.source.paths == [tmp_path / "model.safetensors"] and found.directory.dialect == "Hugging Face"


def test_shards_with_an_index(tmp_path, reader):
    """Named by the folder or by the index; every shard has a header of its own."""
    names, index = dialect_files.write_index(tmp_path), tmp_path / "model.safetensors.index.json"
    assert models.read_model(index).source.paths == [tmp_path / name for name in names]
    assert reader.tokens(tmp_path) == EXPECTED["tokens_f32"]
    (tmp_path / names[1]).unlink()
    with pytest.raises(ModelError, match="The shard .*00002-of-00002.safetensors is missing"):
        models.read_model(tmp_path)
    for wrong in ("", "{}", '{"weight_map": {"a": "../b"}}', '{"weight_map": {"a": 1}}', "[" * 100_000):
        index.write_text(wrong)
        with pytest.raises(ModelError, match="does not list a model's shards"):
            models.read_model(tmp_path)


def test_parts_of_gguf_split(tmp_path, reader):
    """Any part's path, or the folder, stands for all."""
    dialect_files.write_parts(tmp_path)
    for path in (tmp_path / "tiny-00002-of-00003.gguf", tmp_path / "tiny-00001-of-00003.gguf"):
        assert len(models.read_model(path).source.paths) == 3
    assert reader.tokens(tmp_path) == EXPECTED["tokens_f32"]
    (tmp_path / "tiny-00002-of-00003.gguf").unlink()
    with pytest.raises(ModelError, match="tiny-00002-of-00003.gguf is missing, one of the 3 parts"):
        models.read_model(tmp_path)
    (tmp_path / "tiny-00001-of-00003.gguf").rename(tmp_path / "renamed.gguf")
    with pytest.raises(ModelError, match="renamed.gguf: This is one of '3' files that gguf-split made"):
        models.read_model(tmp_path / "renamed.gguf")


def test_a_model_of_another_kind(tmp_path):
    write_gguf(tmp_path / "model.gguf", "CrispASR", {"blk.0.attn_q.weight": np.zeros((32, 32))}, vocabulary=False)
    with pytest.raises(
        ModelError, match="its architecture is 'voxtral4b' and cannot be read: use a model with .*llama"
    ):
        models.read_model(tmp_path)


def test_vocabularies_inside(made, tmp_path):
    """A named tekken.json comes first, then the file's own, then the one beside; a damaged one is one sentence."""
    folder = made("voxtral.cpp")
    assert models.read_model(folder).tokenizer_path == folder / "model.gguf"
    assert models.read_model(folder, ORACLE / "tekken.json").tokenizer_path == ORACLE / "tekken.json"
    tokenizer = models.read_model(folder).tokenizer
    ours = [tokenizer.token_bytes(1000 + rank) for rank in range(dialect_files.VOCABULARY - 1000)]
    assert ours == dialect_files.pieces()[: len(ours)]
    data = (folder / "model.gguf").read_bytes()
    word = data.index(b"IQ==")  # base64 of "!"
    (tmp_path / "damaged.gguf").write_bytes(data[:word] + b"?!?!" + data[word + 4 :])
    with pytest.raises(TokenizerError, match="vocabulary in the model's file is damaged"):
        models.read_model(tmp_path / "damaged.gguf")


def test_every_dialect_has_every_name():
    """No two modules of a dialect have one name, and each of Mistral's is there once."""
    for dialect in dialects.DIALECTS[1:]:
        names = dialect.names()
        assert len(names) == len({*names.values()}) == 7 + 9 + 11, dialect.name
