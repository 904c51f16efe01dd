import json
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtab.errors import ModelError
from voxtab.weights import safetensors as reader
from voxtab.weights.directory import HEADER_LIMIT, HeaderIncomplete, Tensor
from weights.refusals import refused


def with_length(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text


def header(entries: object) -> bytes:
    return with_length(json.dumps(entries).encode())


def entry(dtype="F32", shape=(2, 3), begin=0, end=24) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


GOOD = {
    "__metadata__": {"format": "pt"},
    "norm.weight": entry("F32", (6,), 0, 24),
    "wq.weight": entry("BF16", (4, 5), 24, 64),
    "conv.weight": entry("F16", (1, 2, 3), 64, 76),
}
HEAD = header(GOOD)
SIZE = len(HEAD) + 76


def test_good():
    directory = reader.parse(memoryview(HEAD), SIZE)
    assert (directory.format, directory.version, directory.metadata) == ("SafeTensors", None, {"format": "pt"})
    assert list(directory.tensors.values()) == [
        Tensor("norm.weight", "F32", (6,), len(HEAD), 24),
        Tensor("wq.weight", "BF16", (4, 5), len(HEAD) + 24, 40),
        Tensor("conv.weight", "F16", (1, 2, 3), len(HEAD) + 64, 12),
    ]


def test_equals_the_safetensors_package():
    rng = np.random.default_rng(0)
    arrays = {
        "a.weight": rng.standard_normal((5, 7), np.float32),
        "b.weight": rng.standard_normal((3, 2, 4)).astype(np.float16),
        "b.bias": rng.standard_normal(9, np.float32),
    }
    data = safetensors.numpy.save(arrays, metadata={"format": "pt"})
    directory = reader.parse(data, len(data))
    assert directory.metadata == {"format": "pt"} and set(directory.tensors) == set(arrays)
    for name, tensor in directory.tensors.items():
        dtype = {"F32": np.float32, "F16": np.float16}[tensor.type]
        raw = data[tensor.offset : tensor.offset + tensor.nbytes]
        np.testing.assert_array_equal(np.frombuffer(raw, dtype).reshape(tensor.shape), arrays[name])


def test_every_prefix():
    for n in range(len(HEAD)):
        with pytest.raises(HeaderIncomplete) as caught:
            reader.parse(HEAD[:n], SIZE)
        assert n < caught.value.needed <= len(HEAD) and (n < 8 or caught.value.needed == len(HEAD))
        assert "cut short" in refused(reader, HEAD[:n])
    assert reader.parse(HEAD + bytes(76), SIZE) == reader.parse(HEAD, SIZE)


def test_short_data_names_the_tensor_and_both_sizes():
    message = refused(reader, HEAD, SIZE - 1)
    assert "'conv.weight'" in message and f"byte {SIZE:,} " in message and f"{SIZE - 1:,} bytes" in message


@pytest.mark.parametrize("length", [HEADER_LIMIT, 2**62, 2**64 - 1])
def test_header_length(length):
    refused(reader, length.to_bytes(8, "little") + HEAD[8:], 3 * 10**9)


LIES = {
    "GGUF": b"GGUF\3\0\0\0" + bytes(100),
    "no JSON": with_length(b"not json"),
    "empty": with_length(b""),
    "no UTF-8": with_length(b'{"\xff": {}}'),
    "UTF-16": with_length("{}".encode("utf-16")),
    "list": header([1, 2]),
    "number": header(7),
    "deep": with_length(b"[" * 100_000),
    "digits": with_length(b'{"a": ' + b"1" * 5000 + b"}"),
    "name twice": with_length(b'{"a": 1, "a": 1}'),
    "field twice": with_length(b'{"a": {"dtype": "F32", "dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'),
    "metadata": header({"__metadata__": 3}),
    "metadata of numbers": header({"__metadata__": {"a": 3}}),
    "entry is a number": header({"a": 3}),
    "entry is a list": header({"a": [1]}),
    "no shape": header({"a": {"dtype": "F32", "data_offsets": [0, 4]}}),
    "three offsets": header({"a": {**entry(), "data_offsets": [0, 24, 48]}}),
    "offsets are text": header({"a": {**entry(), "data_offsets": ["0", "24"]}}),
    "offsets are floats": header({"a": {**entry(), "data_offsets": [0.0, 24.0]}}),
    "shape is text": header({"a": {**entry(), "shape": "23"}}),
    "shape is a number": header({"a": {**entry(), "shape": 6}}),
    "shape of truth": header({"a": entry(shape=(True, 6))}),
    "shape of floats": header({"a": entry(shape=(6.0,))}),
    "shape below 0": header({"a": entry(shape=(-2, -3))}),
    "shape with 0": header({"a": entry(shape=(0, 3), end=0)}),
    "scalar": header({"a": entry(shape=(), end=4)}),
    "five dims": header({"a": entry(shape=(1, 1, 1, 2, 3))}),
    "vast shape": header({"a": entry(shape=(2**62,) * 4)}),
    "vast number": header({"a": entry(shape=(10**4000,))}),
    "begin below 0": header({"a": entry(begin=-24, end=0)}),
    "end before begin": header({"a": entry(begin=24, end=0)}),
    "too few bytes": header({"a": entry(end=23)}),
    "too many bytes": header({"a": entry(end=28)}),
    "begin beyond the end": header({"a": entry(begin=2**62, end=2**62 + 24)}),
    "type of integers": header({"a": entry(dtype="I32")}),
    "type of GGUF": header({"a": entry(dtype="Q4_0", shape=(32,), end=18)}),
    "type is a number": header({"a": entry(dtype=0)}),
    "type is long": header({"a": entry(dtype="F\n" * 10_000)}),
    "no name": header({"": entry()}),
    "half a character": header({"\ud800": entry(dtype="U8")}),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies(lie):
    refused(reader, LIES[lie], len(LIES[lie]) + 100)


def test_good_entry_is_good():
    # the correct header, which the wrong ones above differ from
    assert reader.parse(header({"a": entry()}), 1000).tensors["a"].shape == (2, 3)


def test_type_is_named():
    message = refused(reader, LIES["type of integers"], 1000)
    assert "'a'" in message and "'I32'" in message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["F32", "BF16", "x", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets", "__metadata__", "a"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def check_any(head: bytes, size: int) -> None:
    tracemalloc.start()
    try:
        directory = reader.parse(head, size)
    except ModelError as error:
        assert str(error).isprintable() and len(str(error)) < 400
    except HeaderIncomplete as error:
        assert len(head) < error.needed <= min(size, HEADER_LIMIT)
    else:
        assert all(8 <= t.offset < t.offset + t.nbytes <= size for t in directory.tensors.values())
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 100_000 + 50 * len(head)


@settings(deadline=None, max_examples=200)
@given(json_values | st.fixed_dictionaries({"a": st.fixed_dictionaries(dict.fromkeys(entry(), json_values))}))
def test_any_json(value):
    head = header(value)
    check_any(head, len(head) + 100)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(HEAD) - 1), st.integers(0, 255)), max_size=3), st.integers(0, 2**63))
def test_mutations_of_a_good_header(changes, more):
    head = bytearray(HEAD)
    for at, byte in changes:
        head[at] = byte
    check_any(bytes(head), len(head) + more)
