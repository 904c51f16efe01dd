"""tools/compare/layouts.py: the files have what other programs demand, and Voxtab reads the one that is whole."""

import gguf as gguf_py
import numpy as np

from compare.layouts import write_llama_cpp, write_transcribe_cpp
from synthetic import TINY
from voxtab.native import models
from weights.dialect_files import METADATA, tensors_of


def test_transcribe_cpps(tmp_path):
    """As the oracle in that layout, which transcribe.cpp reads; and as Voxtab reads it."""
    write_transcribe_cpp(tmp_path / "model.gguf", TINY)
    reader = gguf_py.GGUFReader(tmp_path / "model.gguf")
    assert set(METADATA["transcribe.cpp"]) <= set(reader.fields)
    two_layers = {name for name in tensors_of("transcribe.cpp") if not any(f".{i}." in name for i in range(2, 9))}
    assert two_layers <= {tensor.name for tensor in reader.tensors}
    found = models.read_model(tmp_path / "model.gguf")
    assert found.directory.dialect == "transcribe.cpp"
    assert (found.config.encoder.layers, found.config.decoder.width) == (TINY.encoder.layers, TINY.decoder.width)
    assert found.tokenizer.token_bytes(1000 + ord("a")) == b"a"


def test_llama_cpps(tmp_path):
    """The decoder's shapes, and weights that are numbers."""
    write_llama_cpp(tmp_path / "model.gguf", TINY)
    tensors = {tensor.name: tensor for tensor in gguf_py.GGUFReader(tmp_path / "model.gguf").tensors}
    assert len(tensors) == 2 + 9 * TINY.decoder.layers
    down = tensors["blk.1.ffn_down.weight"]
    values = gguf_py.dequantize(down.data, down.tensor_type)
    assert values.shape == (TINY.decoder.width, TINY.decoder.hidden)
    assert np.isfinite(values).all() and values.std() > 0
