"""Random weights of a model's shape in the files of other programs: what each demands, with Q4_0 matrices.

transcribe.cpp's file is a whole model, which Voxtab opens too. llama.cpp's is the decoder alone, without the delay's
conditioning, as a Llama model: the released llama.cpp knows no Voxtral Realtime.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np

from synthetic import ADA_WIDTH, file_bytes, pieces, random_chunks
from voxtab import mel
from voxtab.config import (
    FIRST_TEXT_TOKEN,
    FRAME_HOP,
    FRAME_WINDOW,
    FRAMES_PER_TOKEN,
    MAX_POSITIONS,
    MEL_BINS,
    PAD,
    SAMPLE_RATE,
    STATES_PER_TOKEN,
    ModelConfig,
    Stack,
)
from voxtab.native.making import gguf_header
from voxtab.weights import checkpoint
from voxtab.weights.dialects import DIALECTS, LLAMA_CPP, Dialect

(TRANSCRIBE_CPP,) = (dialect for dialect in DIALECTS if dialect.name == "transcribe.cpp")
CONTROL, NORMAL = 3, 1  # llama.cpp's kinds of tokens
SPECIAL = {0: "<unk>", 1: "<s>", 2: "</s>", 32: "[STREAMING_PAD]", 33: "[STREAMING_WORD]"}


def write_transcribe_cpp(path: Path, config: ModelConfig) -> None:
    time_half = config.decoder.width // 2
    others = {
        "frontend.mel_filterbank": np.array(mel.filterbank()),
        "frontend.window": 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME_WINDOW) / FRAME_WINDOW),
        "dec.time_embed.inv_freq": 10000.0 ** (-np.arange(time_half) / time_half),
    }
    words = [_gpt2(piece) for piece in pieces(config.vocabulary - FIRST_TEXT_TOKEN)]
    metadata = {
        "general.basename": "voxtral_realtime",
        "stt.variant": "synthetic",
        "stt.capability.lang_detect": True,
        "stt.capability.translate": False,
        "stt.capability.streaming": True,
        "stt.voxtral_realtime.streaming_pad_token_id": PAD,
        **_stack(TRANSCRIBE_CPP.encoder, config.encoder),
        "stt.voxtral_realtime.encoder.n_layers": config.encoder.layers,
        "stt.voxtral_realtime.encoder.d_model": config.encoder.width,
        "stt.voxtral_realtime.encoder.ffn_dim": config.encoder.hidden,
        "stt.voxtral_realtime.encoder.num_mel_bins": MEL_BINS,
        "stt.voxtral_realtime.encoder.max_position_embeddings": 1500,
        "stt.voxtral_realtime.encoder.hidden_act": "silu",
        "stt.voxtral_realtime.projector.downsample_factor": STATES_PER_TOKEN,
        "stt.voxtral_realtime.projector.input_dim": STATES_PER_TOKEN * config.encoder.width,
        "stt.voxtral_realtime.projector.hidden_act": "gelu",
        "stt.voxtral_realtime.projector.audio_length_per_tok": FRAMES_PER_TOKEN,
        **_stack(TRANSCRIBE_CPP.decoder, config.decoder),
        "stt.voxtral_realtime.decoder.n_layers": config.decoder.layers,
        "stt.voxtral_realtime.decoder.hidden_size": config.decoder.width,
        "stt.voxtral_realtime.decoder.intermediate_size": config.decoder.hidden,
        "stt.voxtral_realtime.decoder.hidden_act": "silu",
        "stt.voxtral_realtime.decoder.max_position_embeddings": MAX_POSITIONS,
        "stt.voxtral_realtime.decoder.tie_word_embeddings": True,
        "stt.voxtral_realtime.decoder.vocab_size": config.vocabulary,
        TRANSCRIBE_CPP.delay_tokens: config.schedule().delay_tokens,
        "stt.voxtral_realtime.time.embed_theta": 10000.0,
        "stt.voxtral_realtime.time.embed_dim": config.decoder.width,
        "stt.voxtral_realtime.time.ada_hidden": ADA_WIDTH,
        "stt.frontend.type": "mel",
        "stt.frontend.num_mels": MEL_BINS,
        "stt.frontend.sample_rate": SAMPLE_RATE,
        "stt.frontend.n_fft": FRAME_WINDOW,
        "stt.frontend.win_length": FRAME_WINDOW,
        "stt.frontend.hop_length": FRAME_HOP,
        "stt.frontend.window": "hann_periodic",
        "stt.frontend.normalize": "global",
        "stt.frontend.global_log_mel_max": 1.5,
        "stt.frontend.dither": 0.0,
        "stt.frontend.pre_emphasis": 0.0,
        "stt.frontend.f_min": 0.0,
        "stt.frontend.f_max": SAMPLE_RATE / 2,
        "stt.frontend.pad_mode": "reflect",
        "stt.frontend.center": True,
        "stt.frontend.mel_norm": "slaney",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "tekken",
        "tokenizer.ggml.tokens": [SPECIAL.get(i, f"<SPECIAL_{i}>") for i in range(FIRST_TEXT_TOKEN)] + words,
        "tokenizer.ggml.token_type": [CONTROL] * FIRST_TEXT_TOKEN + [NORMAL] * len(words),
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 11,
    }
    _write(path, config, TRANSCRIBE_CPP, metadata, gguf_header.ARCHITECTURE, others)


def write_llama_cpp(path: Path, config: ModelConfig) -> None:
    stack = config.decoder
    metadata = {
        "tokenizer.ggml.model": "no_vocab",
        "llama.vocab_size": config.vocabulary,
        "llama.context_length": MAX_POSITIONS,
        "llama.block_count": stack.layers,
        "llama.embedding_length": stack.width,
        "llama.feed_forward_length": stack.hidden,
        "llama.attention.head_count": stack.heads,
        "llama.attention.head_count_kv": stack.kv_heads,
        "llama.attention.key_length": stack.head_dim,
        "llama.attention.value_length": stack.head_dim,
        "llama.attention.layer_norm_rms_epsilon": stack.epsilon,
        "llama.rope.dimension_count": stack.head_dim,
        "llama.rope.freq_base": stack.rope_base,
    }

    def is_llamas(name: str) -> bool:
        return name.startswith(("token_embd", "output_norm", "blk.")) and "_ada_" not in name

    _write(path, config, LLAMA_CPP, metadata, "llama", {}, is_llamas)


def _stack(keys: tuple[str, ...], stack: Stack) -> dict[str, int | float]:
    """The numbers that dialects name: `keys` in the order of METADATA_KEYS."""
    return {key: getattr(stack, field) for key, field in zip(keys, checkpoint.METADATA_KEYS, strict=True)}


def _write(
    path: Path,
    config: ModelConfig,
    dialect: Dialect,
    metadata: Mapping[str, str | bool | int | float | list],
    architecture: str,
    others: Mapping[str, np.ndarray],
    is_theirs: Callable[[str], bool] = lambda name: True,
) -> None:
    """Random weights with the dialect's names where `is_theirs`; `others`: further tensors, in F32."""
    ours = {theirs: name for theirs, name in _names(config, dialect).items() if is_theirs(theirs)}
    shapes = checkpoint.shapes(config, ADA_WIDTH)
    tensors = {
        theirs: ("Q4_0" if len(shapes[name]) == 2 else "F32", shapes[name])
        for theirs, name in ours.items()
        if name in shapes
    }
    tensors |= {name: ("F32", values.shape) for name, values in others.items()}
    layout = gguf_header.layout(tensors, metadata, architecture)
    placed = [replace(tensor, name=ours[tensor.name]) for tensor in layout.tensors if tensor.name in ours]
    chunks = random_chunks(config, placed, 0)
    for tensor in layout.tensors:
        if tensor.name in others:
            values = others[tensor.name].astype("<f4")
            assert values.nbytes == 4 * prod(tensor.shape)
            chunks.append((tensor.offset, values.nbytes, values.ravel().view(np.uint8).copy))
    with open(path, "wb") as file:
        for data in file_bytes(layout.header, sorted(chunks, key=lambda chunk: chunk[0]), 0, layout.size):
            file.write(data)


def _names(config: ModelConfig, dialect: Dialect) -> dict[str, str]:
    """The dialect's name of each tensor -> Mistral's."""
    found = {}
    for theirs, ours in dialect.names().items():
        stack = config.encoder if ours.startswith(checkpoint.ENCODER_LAYER.partition("{")[0]) else config.decoder
        for i in range(stack.layers if "{}" in theirs else 1):
            found |= {f"{theirs}.{kind}".format(i): f"{ours}.{kind}".format(i) for kind in ("weight", "bias")}
    return found


def _gpt2(piece: bytes) -> str:
    """A piece's bytes as the letters that GPT-2's vocabulary has for them."""
    seen = [*range(33, 127), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return "".join(chr(byte if byte in seen else 256 + hidden.index(byte)) for byte in piece)
