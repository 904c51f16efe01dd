import base64
import json
import random
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtab.config import FIRST_TEXT_TOKEN, PAD, WORD
from voxtab.errors import TokenizerError
from voxtab.tokenizer import TekkenReader, TextDecoder, Tokenizer

# 256 bytes, as in the real file, then merges: words, several characters, parts of characters.
MERGES = [
    " I",
    "ing",
    "न",
    "मस्ते",
    " नम",
    "السلام",
    " عل",
    "你好",
    "世界",
    "。",
    "こん",
    "にちは",
    " 안녕",
    "하세요",
    "\n",
    "  ",
    "é",
]
PARTS = [b" \xd0", b"\xe0\xa4", b"\xa8\xe0", b"\xf0\x9f", b"\x9f\x98", b"\xe4\xbd\xa0\xe5", b"\xa5\xbd a"]
TEXT_TOKENS = [bytes([b]) for b in range(256)] + [merge.encode() for merge in MERGES] + PARTS


def entry(rank, piece):
    text = piece.decode("utf-8", "ignore")
    return {
        "rank": rank,
        "token_bytes": base64.b64encode(piece).decode(),
        "token_str": text if text.encode() == piece else None,
    }


def document(pieces=TEXT_TOKENS):
    return {
        "config": {"pattern": '[^\\r\\n\\p{L}]?"}]', "num_vocab_tokens": len(pieces), "version": "v7"},
        "vocab": [entry(rank, piece) for rank, piece in enumerate(pieces)],
        "special_tokens": [{"rank": rank, "token_str": f"<{rank}>", "is_control": True} for rank in range(40)],
        "audio": {"sampling_rate": 16000, "frame_rate": 12.5},
    }


JSON = json.dumps(document()).encode()
TOKENIZER = Tokenizer.from_json(JSON)


def table(tokenizer):
    return [tokenizer.token_bytes(token) for token in range(FIRST_TEXT_TOKEN, len(tokenizer))]


def decode(tokens):
    decoder = TextDecoder(TOKENIZER)
    return "".join([decoder.push(token) for token in tokens]) + decoder.flush()


any_of = random.Random(1).choice


def spell(data, choose=any_of):
    """Some tokens whose bytes are `data`."""
    tokens = []
    while data:
        rank = choose([rank for rank, piece in enumerate(TEXT_TOKENS) if data.startswith(piece)])
        tokens.append(FIRST_TEXT_TOKEN + rank)
        data = data[len(TEXT_TOKENS[rank]) :]
    return tokens


# The table


def test_text_tokens_have_their_bytes():
    assert table(TOKENIZER) == TEXT_TOKENS
    assert len(TOKENIZER) == FIRST_TEXT_TOKEN + len(TEXT_TOKENS)


def test_other_tokens_have_no_bytes():
    for token in (0, 1, PAD, WORD, FIRST_TEXT_TOKEN - 1, len(TOKENIZER), 200_000):
        assert TOKENIZER.token_bytes(token) == b""


def test_only_the_models_text_tokens_are_kept():
    tokenizer = Tokenizer.from_json(JSON, vocab_size=FIRST_TEXT_TOKEN + 260)
    assert table(tokenizer) == TEXT_TOKENS[:260]
    assert tokenizer.token_bytes(FIRST_TEXT_TOKEN + 260) == b""


def reversed_keys(value):
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(document(), separators=(",", ":")),
        json.dumps(document(), indent=4),
        json.dumps(document(), indent="\t").replace("\n", "\r\n") + "\n \n",
        json.dumps(document(), ensure_ascii=False),
        json.dumps(reversed_keys(document())),
        json.dumps(document() | {"special_tokens": [], "more": {"vocab": [1]}, "number": 12, "list": [[], {}, "]"]}),
        "\ufeff" + json.dumps(document()),
    ],
    ids=["compact", "indented", "crlf", "non-ascii", "reversed", "more", "mark"],
)
def test_the_spelling_of_the_json_does_not_matter(text):
    assert table(Tokenizer.from_json(text)) == TEXT_TOKENS
    assert table(Tokenizer.from_json(text.encode())) == TEXT_TOKENS


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, len(JSON)), max_size=30), st.booleans())
def test_any_cut_of_the_file_gives_the_same_table(cuts, ascii):
    data = json.dumps(document(), ensure_ascii=ascii).encode()
    reader = TekkenReader()
    cuts = [0, *sorted(cuts), len(data)]
    for start, end in zip(cuts, cuts[1:]):
        reader.feed(data[start:end])
    assert table(reader.finish()) == TEXT_TOKENS


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_small_cuts_of_the_file_give_the_same_table(size):
    reader = TekkenReader()
    data = json.dumps(document(), ensure_ascii=False).encode()
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
    assert table(reader.finish()) == TEXT_TOKENS


def test_from_file(tmp_path):
    path = tmp_path / "tekken.json"
    path.write_bytes(JSON)
    assert table(Tokenizer.from_file(path)) == TEXT_TOKENS


def test_a_big_file_is_never_in_memory():
    entries = (json.dumps(entry(rank, b"%d" % rank)).rjust(110) for rank in range(100_000))
    data = f'{{"vocab": [{",".join(entries)}]}}'.encode()
    assert len(data) > 10e6
    reader = TekkenReader()
    tracemalloc.start()
    for start in range(0, len(data), 1 << 16):
        reader.feed(data[start : start + (1 << 16)])
    tokenizer = reader.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert tokenizer.token_bytes(FIRST_TEXT_TOKEN + 99_999) == b"99999"
    assert peak < 3e6  # 0.5 MB of pieces, which are there twice at the end; 0.4 MB of ends; a few chunks


# Files that are wrong


def with_seventh(**change):
    changed = document()
    changed["vocab"][7] |= change
    return changed


def without(key):
    return {name: value for name, value in document().items() if name != key}


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "cut short"),
        (b"<!doctype html><title>404</title>", "not JSON"),
        (b"GGUF\x03\0\0\0" * 100, "not JSON"),
        (b"\xff\xfe\0\0", "not JSON"),
        (b'{"vocab": "' + b"\xe4", "not JSON"),
        (b"[1, 2]", "not JSON"),
        (b"{}", "broken"),
        (b'{"vocab" []}', "not JSON"),
        (b'{"vocab": [] "more": 1}', "not JSON"),
        (b'{"config": ' + b"[" * 100_000, "broken"),
        (b'{"config": "' + b"x" * 2_000_000, "not JSON"),
        (JSON + b"}", "goes on"),
        (JSON[:-1], "cut short"),
        (JSON[: len(JSON) // 2], "cut short"),
        (without("vocab"), "no vocabulary"),
        (document() | {"vocab": []}, "no vocabulary"),
        (document() | {"vocab": {"0": "AA=="}}, "no vocabulary"),
        (document() | {"vocab": [1]}, "entry without"),
        (document() | {"vocab": [{"rank": 0}]}, "entry without"),
        (document() | {"vocab": document()["vocab"][:5] + document()["vocab"][6:]}, "rank 6 where rank 5"),
        (with_seventh(rank=6), "rank 6 where rank 7"),
        (with_seventh(token_bytes="?"), "not base64 at rank 7"),
        (with_seventh(token_bytes="AAA"), "not base64 at rank 7"),
        (with_seventh(token_bytes="é"), "not base64 at rank 7"),
        (with_seventh(token_bytes=None), "not base64 at rank 7"),
    ],
    ids=range(25),
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path, content, words):
    path = tmp_path / "tekken.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(TokenizerError) as error:
        Tokenizer.from_file(path)
    assert str(path) in str(error.value) and words in str(error.value)
    assert "\n" not in str(error.value) and str(error.value).endswith("again.")


def test_packed():
    packed = TOKENIZER.packed()
    assert table(Tokenizer.unpacked(packed)) == TEXT_TOKENS
    for at in (0, 33, 40, len(packed) - 1):
        assert Tokenizer.unpacked(packed[:at] + bytes([packed[at] ^ 1]) + packed[at + 1 :]) is None
        assert Tokenizer.unpacked(packed[:at]) is None


def test_fewer_text_tokens_than_the_model_uses():
    with pytest.raises(TokenizerError, match="has 280 text tokens, but the model uses 281"):
        Tokenizer.from_json(JSON, vocab_size=FIRST_TEXT_TOKEN + 281)


@pytest.mark.parametrize("name", ["absent.json", "."])
def test_a_file_that_cannot_be_opened_is_named(tmp_path, name):
    with pytest.raises(TokenizerError) as error:
        Tokenizer.from_file(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(JSON) - 1), st.binary(max_size=3), st.integers(0, 5))
def test_damage_is_harmless_or_a_tokenizer_error(at, instead, removed):
    with suppress(TokenizerError):
        Tokenizer.from_json(JSON[:at] + instead + JSON[at + removed :])


# Text

TEXTS = [
    "नमस्ते दुनिया",
    "السلام عليكم يا عالم",
    "你好，世界。",
    "こんにちは、世界！",
    "안녕하세요 세계",
    "I'm 😀 fine 👩‍👩‍👧",
    "Ça va ? Où ça ?",
    "Привет, мир",
    "a\n b\u2003c",
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_of_many_languages(text):
    data = text.encode()
    assert decode([FIRST_TEXT_TOKEN + byte for byte in data]) == text
    assert decode(spell(data)) == text


def test_a_character_over_pads_appears_with_its_last_byte():
    decoder = TextDecoder(TOKENIZER)
    f0, f1, f2, f3 = (FIRST_TEXT_TOKEN + byte for byte in "😀".encode())
    texts = [decoder.push(token) for token in (f0, PAD, f1, WORD, PAD, f2, PAD, f3, PAD)]
    assert texts == [""] * 7 + ["😀", ""]
    assert decoder.flush() == ""


def test_text_is_shown_as_soon_as_it_is_known():
    decoder = TextDecoder(TOKENIZER)
    tokens = [FIRST_TEXT_TOKEN + TEXT_TOKENS.index(piece) for piece in (b"\xe4\xbd\xa0\xe5", b"\xa5\xbd a")]
    assert [decoder.push(token) for token in tokens] == ["你", "好 a"]


def test_only_the_first_space_goes():
    assert decode(spell(b" I")) == "I"
    assert decode([WORD] + spell(b"  I  I ")) == " I  I "
    assert decode(spell(b"I I")) == "I I"
    assert decode(spell(b"\n I")) == "\n I"
    assert decode(spell(" é".encode())) == "é"


def test_flush_ends_a_character_and_no_more():
    decoder = TextDecoder(TOKENIZER)
    assert decoder.push(FIRST_TEXT_TOKEN + 0xE4) + decoder.flush() == "\ufffd"
    assert decoder.push(FIRST_TEXT_TOKEN + 0xBD) == "\ufffd"
    assert decoder.push(FIRST_TEXT_TOKEN + TEXT_TOKENS.index(b" I")) == " I"
    assert decoder.flush() == ""


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40), st.data())
def test_any_text_in_any_tokens_and_pads(text, data):
    tokens = spell(text.encode(), lambda ranks: data.draw(st.sampled_from(ranks)))
    for _ in range(data.draw(st.integers(0, 5))):
        tokens.insert(data.draw(st.integers(0, len(tokens))), data.draw(st.sampled_from([PAD, WORD, 2, 0])))
    assert decode(tokens) == text.removeprefix(" ")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(range(FIRST_TEXT_TOKEN, FIRST_TEXT_TOKEN + 280)), st.just(PAD)), max_size=30))
def test_any_bytes_decode_as_python_decodes_them(tokens):
    data = b"".join(map(TOKENIZER.token_bytes, tokens))
    assert decode(tokens) == data.decode("utf-8", "replace").removeprefix(" ")
