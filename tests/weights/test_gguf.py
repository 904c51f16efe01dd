import random
import subprocess
import sys
import tracemalloc
from struct import pack

import gguf as gguf_py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtab.errors import ModelError
from voxtab.weights import gguf, safetensors
from voxtab.weights.directory import HEADER_LIMIT, HeaderIncomplete, Tensor, joined, tensor_nbytes
from weights import gguf_bytes as g
from weights.refusals import refused

SMALL = g.small_header()
WHOLE = g.with_data(SMALL, bytes(g.SMALL_DATA))
HUGE = 2**62


# --- against gguf-py


def write_with_gguf_py(path, with_metadata: bool) -> None:
    rng = np.random.default_rng(1)
    writer = gguf_py.GGUFWriter(path, "voxtral_realtime")
    if with_metadata:
        writer.add_uint32("voxtral_realtime.encoder.attention.head_count", 32)
        writer.add_float32("voxtral_realtime.encoder.rope.freq_base", 1e6)
        writer.add_string("general.name", "Voxtab – tiny")
        writer.add_bool("a.bool", False)
        writer.add_int64("a.i64", -(2**40))
        writer.add_float64("a.f64", 0.1)
        writer.add_array("tokens", [f"token {i}" for i in range(1000)])
        writer.add_array("scores", [0.5] * 1000)
        writer.add_custom_alignment(64)
    for name, shape, kind in [
        ("layers.0.attention.wq.weight", (64, 96), "Q4_0"),
        ("tok_embeddings.weight", (50, 64), "F16"),
        ("conv.weight", (8, 4, 3), "F32"),
        ("norm.weight", (33,), "F32"),
        ("odd.weight", (5, 7), "BF16"),
    ]:
        kind = gguf_py.GGMLQuantizationType[kind]
        raw = gguf_py.quants.quantize(rng.standard_normal(shape, np.float32), kind)
        writer.add_tensor(name, raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("with_metadata", [False, True])
def test_equals_gguf_py(tmp_path, version, with_metadata):
    path = tmp_path / "model.gguf"
    write_with_gguf_py(path, with_metadata)
    data = bytearray(path.read_bytes())
    data[4:8] = pack("<I", version)
    path.write_bytes(data)

    directory = gguf.parse(bytes(data), len(data))
    reader = gguf_py.GGUFReader(path)

    assert (directory.format, directory.version) == ("GGUF", version)
    assert list(directory.tensors.values()) == [
        Tensor(t.name, t.tensor_type.name, tuple(int(n) for n in reversed(t.shape)), int(t.data_offset), int(t.n_bytes))
        for t in reader.tensors
    ]
    assert len(directory.tensors) == 5
    expected = {name: field for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert list(directory.metadata) == list(expected)
    for name, field in expected.items():
        is_array = field.types[0] == gguf_py.GGUFValueType.ARRAY
        if is_array:
            array = directory.metadata[name]
            raw = data[array.offset : array.offset + array.nbytes]
            assert array.count == len(field.contents())
            if array.type == g.STRING:
                assert [text.decode() for text in gguf.read_strings(raw, array)] == field.contents()
        else:
            assert directory.metadata[name] == field.contents(), name


# --- good headers


def test_every_kind_of_metadata():
    metadata = gguf.parse(SMALL, len(WHOLE)).metadata
    arrays = {key: metadata.pop(key) for key in ("a.numbers", "a.words", "a.nested", "a.nothing")}
    assert [(array.type, array.count) for array in arrays.values()] == [
        (g.INT16, 5),
        (g.STRING, 3),
        (g.ARRAY, 2),
        (g.STRING, 0),
    ]
    words = arrays["a.words"]
    assert [*gguf.read_strings(SMALL[words.offset :], words)] == ["né".encode(), b"", b"x" * 30]
    with pytest.raises(ModelError, match="numbers where strings"):
        [*gguf.read_strings(SMALL, arrays["a.numbers"])]
    assert metadata == {
        "general.architecture": "voxtral_realtime",
        "a.u8": 200,
        "a.i8": -100,
        "a.u16": 60000,
        "a.i16": -30000,
        "a.u32": 4_000_000_000,
        "a.i32": -2_000_000_000,
        "a.f32": float(np.float32(0.1)),
        "a.bool": True,
        "a.u64": 2**63 + 1,
        "a.i64": -(2**62),
        "a.f64": 1e-300,
        "z.last": "",
    }


def test_tensors_of_a_small_file():
    data = len(SMALL) + -len(SMALL) % 32
    assert gguf.parse(memoryview(WHOLE), len(WHOLE)).tensors == {
        "wq.weight": Tensor("wq.weight", "Q4_0", (3, 64), data, 108),
        "conv.weight": Tensor("conv.weight", "F16", (4, 5, 3), data + 128, 120),
        "norm.weight": Tensor("norm.weight", "F32", (288,), data + 256, 1152),
    }


@pytest.mark.parametrize("alignment", [4, 8, 32, 4096])
def test_alignment(alignment):
    alignment_key = g.key("general.alignment", g.UINT32, pack("<I", alignment))
    head = g.header([alignment_key], [g.tensor("a", (1,)), g.tensor("b", (1,), offset=alignment)])
    file = g.with_data(head, bytes(alignment + 4), alignment)
    tensors = gguf.parse(file, len(file)).tensors
    assert tensors["a"].offset % alignment == 0 and len(head) <= tensors["a"].offset < len(head) + alignment
    assert tensors["b"].offset == tensors["a"].offset + alignment


@pytest.mark.parametrize(
    "kind, value",
    [
        (g.UINT32, pack("<I", 0)),
        (g.UINT32, pack("<I", 2)),
        (g.UINT32, pack("<I", 48)),
        (g.INT32, pack("<i", -32)),
        (g.FLOAT32, pack("<f", 32)),
        (g.BOOL, b"\1"),
        (g.STRING, g.string("32")),
        (g.ARRAY, g.array(g.UINT8, [])),
    ],
)
def test_bad_alignment(kind, value):
    assert "general.alignment" in refused(gguf, g.header([g.key("general.alignment", kind, value)]))


def test_a_value_in_another_encoding_is_kept_as_well_as_it_can_be():
    head = g.header([g.key("general.author", g.STRING, g.string(b"Andr\xe9"))])
    assert gguf.parse(head, len(head)).metadata == {"general.author": "Andr\ufffd"}


def test_a_vocabulary_is_passed_over_and_not_kept():
    tokens = g.array(g.STRING, [g.string(b"token%06d" % i) for i in range(150_000)])
    head = g.header([g.key("tokens", g.ARRAY, tokens), g.key("after", g.UINT8, b"\7")])
    tracemalloc.start()
    directory = gguf.parse(head, len(head))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert directory.metadata["tokens"].count == 150_000 and directory.metadata["after"] == 7
    assert peak < 100_000


def test_runs_without_numpy():
    code = "import sys; sys.modules['numpy'] = None; import voxtab.native.files"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


# --- cut short


def test_every_prefix_asks_for_more_and_never_for_too_much():
    for n in range(len(SMALL)):
        with pytest.raises(HeaderIncomplete) as caught:
            gguf.parse(SMALL[:n], len(WHOLE))
        assert n < caught.value.needed <= len(SMALL)
    assert gguf.parse(SMALL, len(WHOLE)) == gguf.parse(WHOLE, len(WHOLE))


def test_every_truncated_header_is_refused():
    for n in range(len(SMALL)):
        assert "cut short" in refused(gguf, SMALL[:n]) and refused(gguf, SMALL, n) == refused(gguf, SMALL[:n])


def test_short_data_names_the_tensor_and_both_sizes():
    for missing in (1, 1152, 1153):
        message = refused(gguf, WHOLE[:-missing])
        assert "shard is missing or short" in message and f"{len(WHOLE) - missing:,} bytes" in message
    assert "'norm.weight'" in refused(gguf, WHOLE[:-1]) and f"byte {len(WHOLE):,}" in refused(gguf, WHOLE[:-1])
    assert "'conv.weight'" in refused(gguf, WHOLE[: len(SMALL) + 200])


def test_the_last_tensor_needs_no_padding():
    head = g.header(tensors=[g.tensor("a", (1, 32), g.Q4_0)])
    file = g.with_data(head, bytes(18))
    assert gguf.parse(file, len(file)).tensors["a"].nbytes == 18


# --- lies


@pytest.mark.parametrize("head", [b"PK\3\4" + bytes(60), b"FUGG" + SMALL[4:], b"\0", SMALL[1:]])
def test_another_kind_of_file(head):
    assert "not a GGUF file" in refused(gguf, head)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 2511942691\n"


@pytest.mark.parametrize("parse", [gguf.parse, safetensors.parse])
@pytest.mark.parametrize(
    "head, said",
    [
        (POINTER, "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\n <html lang=en>", "web page"),
        (b'<?xml version="1.0"?><Error>', "web page"),
    ],
)
def test_what_was_saved_instead_of_a_model_is_named(parse, head, said):
    with pytest.raises(ModelError, match=said):
        parse(head, len(head))


@pytest.mark.parametrize("version", [0, 1, 4, 99, 3 << 24])
def test_other_versions(version):
    assert f"version {version} " in refused(gguf, SMALL[:4] + pack("<I", version) + SMALL[8:], len(WHOLE))


TENSOR = g.tensor("norm.weight", (4,))
LIES = {
    "tensor count": g.header(tensors=[TENSOR], tensor_count=HUGE),
    "key count": g.header([g.key("a", g.UINT8, b"\0")], key_count=HUGE),
    "key length": g.header([g.string("a", HUGE) + pack("<I", g.UINT8) + b"\0"]),
    "string length": g.header([g.key("a", g.STRING, g.string("b", HUGE))]),
    "array length, strings": g.header([g.key("a", g.ARRAY, g.array(g.STRING, [], HUGE))]),
    "array length, bytes": g.header([g.key("a", g.ARRAY, g.array(g.UINT8, [], HUGE))]),
    "array length, arrays": g.header([g.key("a", g.ARRAY, g.array(g.ARRAY, [], HUGE))]),
    "string in array": g.header([g.key("a", g.ARRAY, g.array(g.STRING, [g.string("b", HUGE), g.string("c")]))]),
    "last string in array": g.header([g.key("a", g.ARRAY, g.array(g.STRING, [g.string("b"), g.string("c", HUGE)]))]),
    "name length": g.header(tensors=[g.string("a", HUGE) + TENSOR[19:]]),
    "empty name": g.header(tensors=[g.tensor("", (4,))]),
    "long name": g.header(tensors=[g.tensor("a" * 65536, (4,))]),
    "empty key": g.header([g.key("", g.UINT8, b"\0")]),
    "name not UTF-8": g.header(tensors=[g.tensor(b"\xff\xfe", (4,))]),
    "key not UTF-8": g.header([g.key(b"\xc3", g.UINT8, b"\0")]),
    "two tensors of a name": g.header(tensors=[TENSOR, TENSOR]),
    "two keys of a name": g.header([g.key("a", g.UINT8, b"\0"), g.key("a", g.INT8, b"\0")]),
    "type of metadata": g.header([g.key("a", 13, bytes(8))]),
    "type in array": g.header([g.key("a", g.ARRAY, g.array(13, [bytes(8)]))]),
    "no dims": g.header(tensors=[g.tensor("a", ())]),
    "five dims": g.header(tensors=[g.tensor("a", (1, 1, 1, 1, 1))]),
    "2^32 - 1 dims": g.header(tensors=[g.tensor("a", (4,), dims=2**32 - 1)]),
    "dim of 0": g.header(tensors=[g.tensor("a", (4, 0))]),
    "shape of 2^64 bytes": g.header(tensors=[g.tensor("a", (2**31, 2**31))]),
    "shape of 2^256 bytes": g.header(tensors=[g.tensor("a", (2**64 - 32,) * 4, g.Q4_0)]),
    "dim of 2^64 - 1": g.header(tensors=[g.tensor("a", (2**64 - 1,))]),
    "row of half a block": g.header(tensors=[g.tensor("a", (2, 48), g.Q4_0)]),
    "offset beyond the end": g.header(tensors=[g.tensor("a", (4,), offset=2**64 - 32)]),
    "offset not aligned": g.header(tensors=[g.tensor("a", (4,), offset=4)]),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("size", [0, 2_511_942_691], ids=["small", "real size"])
def test_lies(lie, size):
    # `head` has the whole header and enough data for an honest tensor, so only the wrong number can be refused
    head = g.with_data(LIES[lie], bytes(64))
    refused(gguf, head, size or len(head))


@pytest.mark.parametrize("counts", [{"key_count": HUGE}, {"tensor_count": HUGE}])
def test_counts_are_refused_before_anything_they_count_is_there(counts):
    refused(gguf, g.header(**counts), 2_511_942_691)


def test_an_array_of_strings_that_ends_the_header_is_not_believed():
    # four bytes follow the only string, so that the second one's length is cut
    array = g.array(g.STRING, [g.string("x" * 40)], 2) + bytes(4)
    refused(gguf, g.header([g.key("a", g.ARRAY, array)]))


def nested(levels: int) -> bytes:
    value = g.array(g.UINT8, [])
    for _ in range(levels):
        value = g.array(g.ARRAY, [value])
    return g.header([g.key("a", g.ARRAY, value)])


def test_deep_nesting():
    assert gguf.parse(nested(8), len(nested(8))).metadata["a"].count == 1
    for levels in (9, 10_000):
        assert "array" in refused(gguf, nested(levels))


@pytest.mark.parametrize("kind, shown", [(10, "'Q2_K'"), (77, "'77'")])
def test_type_without_kernels_is_named(kind, shown):
    message = refused(gguf, g.with_data(g.header(tensors=[g.tensor("wq.weight", (1, 256), kind)]), bytes(1000)))
    assert "'wq.weight'" in message and shown in message


def part(number: int, count: int = 3):
    keys = [g.key("split.no", g.UINT16, pack("<H", number)), g.key("split.count", g.UINT16, pack("<H", count))]
    head = g.header(keys, [g.tensor(f"tensor {number}", (2,))])
    return gguf.parse(head, len(head) + 64)


def test_parts_of_a_split_model():
    parts = [(1000 * i, part(i)) for i in range(3)]
    whole = joined(parts)
    assert [*whole.tensors] == ["tensor 0", "tensor 1", "tensor 2"] and whole.metadata["split.no"] == 0
    offsets = [tensor.offset for tensor in whole.tensors.values()]
    assert offsets == [start + each.tensors[f"tensor {i}"].offset for i, (start, each) in enumerate(parts)]
    for some in (parts[:1], parts[:2], parts[1:], parts[::-1], [*parts, *parts[:1]]):
        with pytest.raises(ModelError, match="one of '3' files that gguf-split made"):
            joined(some)
    assert joined([(0, part(0, count=1))]) == part(0, count=1)
    with pytest.raises(ModelError, match="'tensor 0' is in two"):
        joined([(0, part(0, count=1)), (100, part(0, count=1))])


def test_a_tensor_that_nobody_needs_may_be_anything():
    """A scalar, of integers, empty, of five dimensions, cut off: the others can be read (vllm#7268)."""
    odd = [
        g.tensor("scalar", ()),
        g.tensor("integers", (4,), 27),
        g.tensor("empty", (0,)),
        g.tensor("deep", (1, 1, 1, 1, 2)),
        g.tensor("beyond the end", (10**9,)),
        g.tensor("norm.weight", (4,)),
    ]
    head = g.header(tensors=odd)
    directory = gguf.parse(head, len(head) + 64)
    assert [*directory.tensors] == ["norm.weight"] and len(directory.unreadable) == 5
    assert directory.tensor("norm.weight").nbytes == 16
    with pytest.raises(ModelError, match="'integers' has the type 'I64'"):
        directory.tensor("integers")
    with pytest.raises(ModelError, match="no tensor 'another'"):
        directory.tensor("another")


def test_a_header_larger_than_any_is_not_asked_for():
    head = g.header([g.key("a", g.STRING, g.string("", HEADER_LIMIT - 100))])
    with pytest.raises(HeaderIncomplete):
        gguf.parse(head, 2 * HEADER_LIMIT)
    refused(gguf, g.header([g.key("a", g.STRING, g.string("", HEADER_LIMIT))]), 2 * HEADER_LIMIT)


def test_a_wild_name_stays_on_one_short_line():
    assert "\\n" in refused(gguf, g.header(tensors=[g.tensor("evil\n" * 10_000, (4,))]))


def test_bytes_of_tensors():
    assert tensor_nbytes("Q4_0", (131072, 3072)) == 226_492_416
    assert tensor_nbytes("F32", (1280, 1280, 3)) == 19_660_800
    assert tensor_nbytes("BF16", (33,)) == tensor_nbytes("F16", (3, 11)) == 66
    with pytest.raises(ValueError, match="48"):
        tensor_nbytes("Q4_0", (2, 48))


# --- anything at all


def check_any(head: bytes, size: int) -> bool:
    """Whatever the bytes: a sound directory (True) or one of the two errors, in memory of about the size of `head`."""
    tracemalloc.start()
    try:
        directory = gguf.parse(head, size)
    except ModelError as error:
        assert str(error).isprintable() and len(str(error)) < 400
        return False
    except HeaderIncomplete as error:
        assert len(head) < error.needed <= min(size, HEADER_LIMIT)
        return False
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100_000 + 20 * len(head)
    for name, tensor in directory.tensors.items():
        assert name == tensor.name and tensor.nbytes > 0
        assert 24 <= tensor.offset <= tensor.offset + tensor.nbytes <= size
    return True


sizes = st.sampled_from([0, 1000, 10**6, 3 * 10**9, 2**63])


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400), st.integers(0, 6), st.integers(0, 6), sizes)
def test_random_bytes(tail, tensors, keys, more):
    head = g.header(tensor_count=tensors, key_count=keys) + tail
    check_any(head, len(head) + more)
    check_any(tail, len(tail) + more)


NUMBERS = [0, 1, 7, 8, 9, 12, 32, 255, 2**16, 2**31, 2**32 - 1, HUGE, 2**63, 2**64 - 1]


def test_mutations_of_a_good_header():
    """One or two small changes at random places: some still parse, the others fail in one of the two ways."""
    rng = random.Random(1)
    sound = 0
    for _ in range(3000):
        head = bytearray(SMALL)
        for _ in range(rng.randint(1, 2)):
            at = rng.randrange(len(head))
            match rng.randrange(5):
                case 0:
                    head[at : at + 8] = pack("<Q", rng.choice(NUMBERS))
                case 1:
                    del head[at : at + rng.randint(1, 9)]
                case 2:
                    head[at:at] = rng.randbytes(rng.randint(1, 9))
                case _:
                    head[at] = rng.randrange(256)
        sound += check_any(bytes(head), len(WHOLE) + rng.choice([0, 0, 3 * 10**9, 2**63]))
    assert 100 < sound < 2000  # else the changes are too large or too small to tell anything
