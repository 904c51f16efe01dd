"""The vocabulary that a GGUF file may carry -> a Tokenizer, as three programs write it (spec 9.4).

- `tokenizer.ggml.tokens` (llama.cpp, transcribe.cpp): strings by token id, control tokens included. Each character
  stands for a byte, as GPT-2's tokenizer writes them.
- `voxtral.tokenizer.vocab_token_bytes_b64` (voxtral.cpp): base64 of the text tokens, by rank.
- the tensor `tokenizer.tekken.vocab_tensor` (CrispASR): a float for each byte of (u16 length, bytes) by rank.
"""

import binascii
from array import array
from collections.abc import Callable, Iterable, Iterator

from voxtab.config import FIRST_TEXT_TOKEN
from voxtab.errors import ModelError, TokenizerError
from voxtab.tokenizer import Tokenizer
from voxtab.weights.directory import Array, Directory, Tensor
from voxtab.weights.gguf import read_strings

_BY_ID = "tokenizer.ggml.tokens"
_BASE64 = "voxtral.tokenizer.vocab_token_bytes_b64"
_TENSOR = "tokenizer.tekken.vocab_tensor"
_LARGEST_TENSOR = 64 << 20  # bytes; a real one has about 6 MB

# GPT-2's characters: bytes that can be seen stand for themselves, the others for those from 256 on.
_SEEN = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
_HIDDEN = [byte for byte in range(256) if byte not in _SEEN]
_BYTES = {256 + i: byte for i, byte in enumerate(_HIDDEN)} | dict.fromkeys(_HIDDEN, 256)  # 0x100 is no byte


def place(directory: Directory) -> Array | Tensor | None:
    """Where the model's vocabulary is in the source, if it carries one."""
    for key in (_BY_ID, _BASE64):
        found = directory.metadata.get(key)
        if isinstance(found, Array):
            return found
    tensor = directory.tensors.get(_TENSOR)
    return tensor if tensor and tensor.type == "F32" and tensor.nbytes <= _LARGEST_TENSOR else None


def read(directory: Directory, raw: bytes | memoryview, vocabulary: int) -> Tokenizer:
    """The Tokenizer of the bytes at `place`; `vocabulary` is the model's number of tokens. TokenizerError if wrong."""
    found = place(directory)
    pieces: Iterator[bytes]
    try:
        if isinstance(found, Tensor):
            pieces = _in_floats(raw)
        else:
            assert found
            decode = _from_characters if directory.metadata.get(_BY_ID) is found else _from_base64
            pieces = _decoded(read_strings(raw, found), decode, FIRST_TEXT_TOKEN if decode is _from_characters else 0)
        return _tokenizer(pieces, vocabulary - FIRST_TEXT_TOKEN)
    except (ValueError, OverflowError, ModelError):
        raise TokenizerError(
            "The vocabulary in the model's file is damaged: download the model again, or name a tekken.json."
        ) from None


def _tokenizer(pieces: Iterable[bytes], wanted: int) -> Tokenizer:
    text, ends = bytearray(), array("I", [0])
    for piece in pieces:
        if len(ends) > wanted:  # files have more text tokens than the model
            break
        text += piece
        ends.append(len(text))
    if len(ends) <= wanted:
        raise TokenizerError(
            f"The vocabulary in the model's file has {len(ends) - 1} text tokens, but the model uses {wanted}: name a "
            "tekken.json."
        )
    return Tokenizer(bytes(text), ends)


def _decoded(strings: Iterator[bytes], decode: Callable[[bytes], bytes], skip: int) -> Iterator[bytes]:
    for i, string in enumerate(strings):
        if i >= skip:
            yield decode(string)


def _from_characters(string: bytes) -> bytes:
    return string.decode().translate(_BYTES).encode("latin-1")  # UnicodeError is a ValueError


def _from_base64(string: bytes) -> bytes:
    return binascii.a2b_base64(string, strict_mode=True)


def _in_floats(raw: bytes | memoryview) -> Iterator[bytes]:
    blob = bytes(map(int, array("f", bytes(raw))))
    at = 0
    while at + 2 <= len(blob):
        nbytes = int.from_bytes(blob[at : at + 2], "little")
        at += 2 + nbytes
        if at > len(blob):
            raise ValueError
        yield blob[at - nbytes : at]
