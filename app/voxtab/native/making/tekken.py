"""tekken.json, the tokenizer's file, with all that Tekken's own files have: other programs need it too."""

import base64
import json
from pathlib import Path

from voxtab.config import DEFAULT_DELAY_MS, FIRST_TEXT_TOKEN, TRAINED_LEFT_SILENCE_TOKENS

# How a text is cut before its pieces are looked up: Tekken's own.
PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_NAMED = {
    0: "<unk>",
    1: "<s>",
    2: "</s>",
    11: "<pad>",
    24: "[AUDIO]",
    25: "[BEGIN_AUDIO]",
    32: "[STREAMING_PAD]",
    33: "[STREAMING_WORD]",
}


def content(
    pieces: list[bytes],
    *,
    pattern: str = PATTERN,
    delay_ms: int = DEFAULT_DELAY_MS,
    left_silence_tokens: int = TRAINED_LEFT_SILENCE_TOKENS,
) -> dict:
    """What a tekken.json of these text tokens says, in the order of their ranks. The first 256 are the single bytes."""
    return {
        "config": {
            "pattern": pattern,
            "num_vocab_tokens": len(pieces),
            "default_vocab_size": FIRST_TEXT_TOKEN + len(pieces),
            "default_num_special_tokens": FIRST_TEXT_TOKEN,
            "version": "v7",
        },
        "vocab": [
            {"rank": rank, "token_bytes": base64.b64encode(piece).decode(), "token_str": _text(piece)}
            for rank, piece in enumerate(pieces)
        ],
        "special_tokens": [
            {"rank": rank, "token_str": _NAMED.get(rank, f"<SPECIAL_{rank}>"), "is_control": True}
            for rank in range(FIRST_TEXT_TOKEN)
        ],
        "audio": {
            "sampling_rate": 16000,
            "frame_rate": 12.5,
            "audio_encoding_config": {"num_mel_bins": 128, "hop_length": 160, "window_size": 400},
            "transcription_delay_ms": delay_ms,
            "streaming_look_ahead_ms": 2.5,
            "streaming_look_back_ms": 52.5,
            "streaming_n_left_pad_tokens": left_silence_tokens,
            "transcription_format": "streaming",
        },
    }


def missing(path: Path) -> list[str]:
    """What a tekken.json lacks that other programs need: [] if it is whole."""
    written = json.loads(path.read_bytes())
    lacks = [f"config.{key}" for key in content([])["config"] if key not in written.get("config", {})]
    return lacks + [key for key in ("special_tokens", "audio") if key not in written]


def _text(piece: bytes) -> str | None:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return None
