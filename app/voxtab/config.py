"""The model's numbers and what follows from them; a wrong rate fails here, at import.

samples 16000/s -> frames 100/s -> states 50/s -> tokens 12.5/s

A token is 80 ms of the stream, and also the id that the decoder makes for those 80 ms. Counts and lengths
(`delay_tokens`, `block_tokens`, "left silence tokens") are in units of 80 ms. A `token`, or a list of `tokens`, holds
ids. Most ids are pads; a text token (FIRST_TEXT_TOKEN or more) stands for a piece of text (`tokenizer.py`).
"""

from dataclasses import dataclass
from typing import Any

from voxtab.errors import ModelError, UserError

SAMPLE_RATE = 16000  # samples per second
FRAME_HOP = 160  # samples from one mel frame to the next
FRAME_WINDOW = 400  # samples in the window of a mel frame, centred on its sample
MEL_BINS = 128
FRAMES_PER_STATE = 2  # the second convolution's stride
STATES_PER_TOKEN = 4  # states that the adapter joins

FRAMES_PER_TOKEN = FRAMES_PER_STATE * STATES_PER_TOKEN
SAMPLES_PER_TOKEN = FRAME_HOP * FRAMES_PER_TOKEN
TOKEN_MS = 1000 * SAMPLES_PER_TOKEN // SAMPLE_RATE
assert SAMPLES_PER_TOKEN == 1280 and TOKEN_MS * SAMPLE_RATE == 1000 * SAMPLES_PER_TOKEN

# State t sees frames 2t-3 .. 2t+1: two convolutions of three taps, the second of stride two, padded on
# the left only. So a block of tokens starts three frames early, and there is nothing else to carry over.
CONTEXT_FRAMES = 3
CONTEXT_CONV0 = 1  # rows of the first convolution that a block needs from before its start
# The window of token j's last frame, 8j+7, ends at sample 160 (8j+7) + 200 = 1280 (j+1) + LOOKAHEAD.
LOOKAHEAD_SAMPLES = FRAME_WINDOW // 2 - FRAME_HOP
# The window of a block's first frame starts at sample 160 (8j-3) - 200 = 1280 j - HISTORY.
HISTORY_SAMPLES = CONTEXT_FRAMES * FRAME_HOP + FRAME_WINDOW // 2
assert (LOOKAHEAD_SAMPLES, HISTORY_SAMPLES) == (40, 680) and LOOKAHEAD_SAMPLES <= SAMPLES_PER_TOKEN

MAX_POSITIONS = 131072  # tokens; RoPE positions stay below (longer streams re-anchor)

BOS, EOS, PAD, WORD = 1, 2, 32, 33  # <s>, </s>, [STREAMING_PAD], [STREAMING_WORD]
FIRST_TEXT_TOKEN = 1000  # token id of Tekken rank 0; the ids below are control tokens

TRAINED_LEFT_SILENCE_TOKENS = 32  # tekken.json: streaming_n_left_pad_tokens
RIGHT_SILENCE_EXTRA_TOKENS = 11  # added to the delay's D, as mistral-common does: D + 1 + 10
DEFAULT_DELAY_MS = 480
DELAYS_MS = (*range(80, 1201, 80), 2400)


@dataclass(frozen=True)
class Schedule:
    """What follows from one stream's delay and left silence (spec 2.2, 8.1).

    `left_silence_tokens`: silent tokens before the audio, 32 or more. The model was trained with 32; the first
    (1 + D) x 80 ms of audio then belong to prompt tokens, which get no text of their own. With 33 + D all audio
    comes after the prompt. The first Rust port used 76. Each token beyond 33 + D costs one encoder step and one
    decoder step at the start.
    """

    delay_ms: int = DEFAULT_DELAY_MS
    left_silence_tokens: int = TRAINED_LEFT_SILENCE_TOKENS

    def __post_init__(self):
        if type(self.delay_ms) is not int or self.delay_ms not in DELAYS_MS:
            raise UserError(
                f"A delay of {self.delay_ms} ms is not one the model knows: "
                "use a multiple of 80 from 80 to 1200, or 2400."
            )
        if (
            type(self.left_silence_tokens) is not int
            or not TRAINED_LEFT_SILENCE_TOKENS <= self.left_silence_tokens <= 1000
        ):
            raise UserError(
                f"A left silence of {self.left_silence_tokens} tokens is not possible: use a whole number from "
                f"{TRAINED_LEFT_SILENCE_TOKENS}, which the model was trained with, to 1000."
            )

    @property
    def delay_tokens(self) -> int:
        return self.delay_ms // TOKEN_MS

    @property
    def prompt(self) -> list[int]:
        """Token ids of the first positions: BOS, then 32 + D pads, whatever the left silence is."""
        return [BOS] + [PAD] * (TRAINED_LEFT_SILENCE_TOKENS + self.delay_tokens)

    @property
    def silent_positions(self) -> int:
        """How many first positions see only the left silence and make no token. They are the same in every stream."""
        # A position's audio embedding reaches LOOKAHEAD_SAMPLES, a fraction of a token, beyond its end.
        return min(self.left_silence_tokens, len(self.prompt)) - 1

    @property
    def right_silence_tokens(self) -> int:
        return self.delay_tokens + RIGHT_SILENCE_EXTRA_TOKENS

    def position_of(self, k: int) -> int:
        """The inverse of `token_index`."""
        return k + 1 + self.left_silence_tokens + self.delay_tokens

    def token_index(self, position: int) -> int:
        """k of the token at `position`, without left silence and delay: it is at 80 k ms of live audio (spec 7)."""
        return position - 1 - self.left_silence_tokens - self.delay_tokens


@dataclass(frozen=True)
class Stack:
    """One stack of transformer layers: the encoder's or the decoder's."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int  # width inside the feed-forward part
    window: int  # positions that a query sees, its own included
    epsilon: float
    rope_base: float

    @property
    def qkv_rows(self) -> int:
        return (self.heads + 2 * self.kv_heads) * self.head_dim

    def check(self, name: str):
        for field in ("layers", "width", "heads", "kv_heads", "head_dim", "hidden", "window"):
            if getattr(self, field) <= 0:
                raise ModelError(f"The model's {name} has {field} {getattr(self, field)}: its metadata is broken.")
        for field in ("width", "hidden"):
            if getattr(self, field) % 32:
                raise ModelError(
                    f"The model's {name} has {field} {getattr(self, field)}, "
                    "which is not a multiple of 32 and so not supported."
                )
        if self.head_dim not in (32, 64, 128):
            raise ModelError(f"The model's {name} has head_dim {self.head_dim}: 32, 64 and 128 are supported.")
        if self.heads % self.kv_heads:
            raise ModelError(
                f"The model's {name} has {self.heads} heads of {self.head_dim} over {self.kv_heads} key-value heads, "
                "which is not supported."
            )
        # A layer's ring in f32, with the window and a block's rows, must fit one binding.
        if (self.window + 256) * 2 * self.kv_heads * self.head_dim * 4 > 128 << 20:
            raise ModelError(
                f"The model's {name} has a window of {self.window} positions, more than a WebGPU binding holds."
            )


@dataclass(frozen=True)
class ModelConfig:
    encoder: Stack
    decoder: Stack
    vocabulary: int
    half_rope: bool  # rows of wq and wk in halves (Hugging Face) instead of pairs (Mistral)
    delay_ms: int = DEFAULT_DELAY_MS  # as the model's maker recommends
    left_silence_tokens: int = TRAINED_LEFT_SILENCE_TOKENS

    def __post_init__(self):
        self.encoder.check("encoder")
        self.decoder.check("decoder")
        try:
            self.schedule()
        except UserError as error:
            raise ModelError(f"The model's default is wrong: {error}") from None
        if self.vocabulary <= FIRST_TEXT_TOKEN:
            raise ModelError(
                f"The model's vocabulary has {self.vocabulary} tokens: "
                f"the first {FIRST_TEXT_TOKEN} are control tokens, so it needs more."
            )

    def schedule(self, delay_ms: int | None = None, left_silence_tokens: int | None = None) -> Schedule:
        """A stream's schedule; None means the model's default."""
        return Schedule(
            self.delay_ms if delay_ms is None else delay_ms,
            self.left_silence_tokens if left_silence_tokens is None else left_silence_tokens,
        )


# What tensor shapes cannot tell, for the published 4B model, whose file has no metadata.
ENCODER_4B: dict[str, Any] = {
    "heads": 32,
    "kv_heads": 32,
    "head_dim": 64,
    "window": 750,
    "epsilon": 1e-5,
    "rope_base": 1e6,
}
DECODER_4B: dict[str, Any] = {
    "heads": 32,
    "kv_heads": 8,
    "head_dim": 128,
    "window": 8192,
    "epsilon": 1e-5,
    "rope_base": 1e6,
}
VOXTRAL_4B = ModelConfig(
    Stack(layers=32, width=1280, hidden=5120, **ENCODER_4B),
    Stack(layers=26, width=3072, hidden=9216, **DECODER_4B),
    vocabulary=131072,
    half_rope=False,
)
