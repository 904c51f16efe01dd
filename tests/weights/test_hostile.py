"""Headers and manifests that say anything: a directory, or one sentence, at once and in little memory.

MUTATIONS=1000000 in the environment tries more of them.
"""

import json
import os
import random
import tracemalloc
from pathlib import Path
from struct import pack

import pytest

from voxtab.errors import ModelError, TokenizerError
from voxtab.nesting import LIMIT, too_deep
from voxtab.tokenizer import Tokenizer
from voxtab.weights import checkpoint, dialects, gguf
from voxtab.weights.directory import HeaderIncomplete
from voxtab.weights.manifest import MOST_SHARDS, parse_manifest
from weights import gguf_bytes as g

MUTATIONS = int(os.environ.get("MUTATIONS", 100_000))
URL = "https://models.example/a/model.json"
SUM = "0" * 64
MANIFEST = json.dumps(
    {
        "shards": [
            {"path": "a", "bytes": 9, "pieces": {"bytes": 5, "sha256": [SUM, SUM]}},
            {"path": "b/c", "bytes": 7, "sha256": SUM},
        ],
        "tokenizer": "../tekken.json",
    }
).encode()
REAL = (Path(__file__).parents[1] / "oracle/delay160/tiny-q4.gguf").read_bytes()
REAL_HEAD = REAL[: min(tensor.offset for tensor in gguf.parse(REAL, len(REAL)).tensors.values())]
NUMBERS = [pack("<Q", 1 << bits) for bits in range(0, 64, 3)] + [b"\xff" * 8, pack("<I", 9), pack("<I", 8)]
WORDS = [b"1e999", b"-1", b"null", b"[" * 50, b'"' * 3, b"//x.example/", b"99999999999999999999", b"\xff", b"{}", b"[]"]


def mutated(source: bytes, insertions: list[bytes], chance: random.Random) -> bytes:
    """One to four bytes, cuts, copies or insertions are different."""
    data = bytearray(source)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                piece = chance.choice(insertions)
                data[at : at + len(piece)] = piece
            case 2:
                data[at:at] = chance.choice(insertions)
            case 3:
                del data[at : at + chance.randrange(1, 40)]
            case _:
                data[at:at] = data[: chance.randrange(40)]
    return bytes(data)


def read_header(head: bytes, size: int) -> None:
    """As the page does it: the directory, then the model's numbers."""
    checkpoint.read_config(dialects.translated(gguf.parse(head, size)))


def test_mutated_headers_and_manifests():
    chance = random.Random(0)
    ends = {"read": 0, "refused": 0, "more is needed": 0}
    small = g.with_data(g.small_header(), bytes(g.SMALL_DATA))
    for i in range(MUTATIONS):
        try:
            if i % 3 == 0:
                parse_manifest(mutated(MANIFEST, WORDS, chance).decode(errors="replace"), URL)
            elif i % 30 == 1:
                read_header(mutated(REAL_HEAD, NUMBERS, chance), chance.choice([len(REAL), 1 << 62]))
            else:
                gguf.parse(mutated(small, NUMBERS, chance), chance.choice([len(small), 1 << 62]))
            ends["read"] += 1
        except ModelError as error:
            ends["refused"] += 1
            assert str(error).endswith(".") and len(str(error)) < 800
        except HeaderIncomplete as error:
            ends["more is needed"] += 1
            assert error.needed <= 100_000_000
    print(ends)
    assert min(ends.values()) > MUTATIONS / 1000, "the mutations are too mild or too harsh"


ABSURD = {
    "deep": "[" * 100_000,
    "deep, and whole": "[" * 100_000 + "]" * 100_000,
    "deep, behind strings": '{"a": "' + "]" * 100_000 + '", "b": ' + '{"c": {}, "d": ' * 50_000,
    "many shards": json.dumps({"shards": [{"path": "a", "bytes": 1}] * 20_000}),
    "a long number": '{"shards": [{"path": "a", "bytes": ' + "9" * 100_000 + "}]}",
    "many sums": json.dumps({"shards": [{"path": "a", "bytes": 1 << 49, "pieces": {"bytes": 1, "sha256": []}}]}),
    "a long path": json.dumps({"shards": [{"path": "../" * 100_000, "bytes": 1}]}),
}


@pytest.mark.parametrize("text", ABSURD.values(), ids=ABSURD)
def test_an_absurd_manifest(text):
    tracemalloc.start()
    with pytest.raises(ModelError) as caught:
        parse_manifest(text, URL)
        raise ModelError("It was read.")  # a long path is odd, not wrong
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(str(caught.value)) < 600
    assert most < 40 * len(text) + 1_000_000


def test_too_many_shards_are_named():
    text = json.dumps({"shards": [{"path": "a", "bytes": 1}] * (MOST_SHARDS + 1)})
    with pytest.raises(ModelError, match="names 1,001 shards, and 1,000 are possible"):
        parse_manifest(text, URL)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"vocab": ' + "[" * 100_000,
        '{"vocab": [' + '{"a": ' * 100_000,
        '{"vocab": [' + '{"a": {}, "b": ' * 100_000,
        '{"config": ' + '{"a":' * 100_000 + "1" + "}" * 100_000 + ', "vocab": []}',
        '{"vocab": [{"rank": 0, "token_str": "' + "}," * 100_000 + '"}, ' + "[" * 100_000,
    ],
)
def test_a_deep_tokenizer(text):
    with pytest.raises(TokenizerError, match="tekken.json (is|has) "):
        Tokenizer.from_json(text)


def test_how_deep():
    assert not too_deep("[" * LIMIT + "]" * LIMIT) and too_deep("[" * (LIMIT + 1))
    assert not too_deep('{"a": "' + r"\"[[" * 1000 + '"}') and not too_deep("[]" * 1000)
    assert too_deep("x" + "{" * 100, 1)


@pytest.mark.parametrize("count", [10**6, 10**12, 2**63])
@pytest.mark.parametrize("size", [1000, 1 << 62])
def test_an_absurd_count(count, size):
    """Of tensors, of keys, of words; with a size and without one. No memory is taken for them."""
    heads = [
        g.header(key_count=count),
        g.header(tensor_count=count),
        g.header([g.key("words", g.ARRAY, g.array(g.STRING, [], count))]),
        g.header([g.key("numbers", g.ARRAY, g.array(g.UINT64, [], count))]),
    ]
    for head in heads:
        tracemalloc.start()
        with pytest.raises((ModelError, HeaderIncomplete)):
            gguf.parse(head, size)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 100_000
