"""What other programs call a model's tensors and numbers -> Mistral's names and Voxtab's keys (spec 9.1, 9.4).

A file's names tell its dialect, and the dialect tells the order of the rows of wq and wk. One table has all names, one
all keys. Tensors that no table knows keep their names; the engine does not look at them.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from voxtab.config import TOKEN_MS
from voxtab.errors import ModelError
from voxtab.weights.checkpoint import (
    ADA,
    ADAPTER,
    CONV,
    DECODER_LAYER,
    DECODER_NORM,
    DEFAULTS,
    EMBEDDING,
    ENCODER_LAYER,
    ENCODER_NORM,
    METADATA_KEYS,
)
from voxtab.weights.directory import Directory, Tensor, quoted


def _module(tensor: str) -> str:
    return tensor.removesuffix(".weight")


# Names of modules: a tensor is one with ".weight" or ".bias" behind it. In the order of the dialects below.
# fmt: off
_MODEL = {
    _module(EMBEDDING): ("embed_tokens", "tok_embeddings", "token_embd", "dec.token_embd", "token_embd"),
    CONV.format(0, "")[:-1]: ("audio_tower.embedder.conv1", "enc.conv0", "audio.conv.1", "enc.conv.0", "a.conv1d.1"),
    CONV.format(1, "")[:-1]: ("audio_tower.embedder.conv2", "enc.conv1", "audio.conv.2", "enc.conv.1", "a.conv1d.2"),
    _module(ENCODER_NORM): ("audio_tower.norm", "enc.norm", "audio.ln_post", "enc.final_norm", "a.post_ln"),
    _module(ADAPTER.format(0)):
        ("multi_modal_projector.linear_1", "adapter.0", "proj1", "proj.linear_1", "mm.a.mlp.1"),
    _module(ADAPTER.format(2)):
        ("multi_modal_projector.linear_2", "adapter.2", "proj2", "proj.linear_2", "mm.a.mlp.2"),
    _module(DECODER_NORM): ("norm", "norm", "output_norm", "dec.output_norm", "output_norm"),
}
_ENCODER = {
    ENCODER_LAYER: ("audio_tower.layers.{}.", "enc.blk.{}.", "audio.blk.{}.", "enc.blocks.{}.", "a.blk.{}."),
    "attention_norm": ("self_attn_layer_norm", "attn_norm", "attn_norm", "norm_attn", "ln1"),
    "attention.wq": ("self_attn.q_proj", "attn_q", "attn_q", "attn.q", "attn_q"),
    "attention.wk": ("self_attn.k_proj", "attn_k", "attn_k", "attn.k", "attn_k"),
    "attention.wv": ("self_attn.v_proj", "attn_v", "attn_v", "attn.v", "attn_v"),
    "attention.wo": ("self_attn.o_proj", "attn_o", "attn_out", "attn.out", "attn_out"),
    "ffn_norm": ("final_layer_norm", "ffn_norm", "ffn_norm", "norm_ffn", "ln2"),
    "feed_forward.w1": ("mlp.gate_proj", "ffn_w1", "ffn_gate", "ffn.gate", "ffn_gate"),
    "feed_forward.w2": ("mlp.down_proj", "ffn_w2", "ffn_down", "ffn.down", "ffn_down"),
    "feed_forward.w3": ("mlp.up_proj", "ffn_w3", "ffn_up", "ffn.up", "ffn_up"),
}
_DECODER = {
    DECODER_LAYER: ("layers.{}.", "dec.blk.{}.", "blk.{}.", "dec.blocks.{}.", "blk.{}."),
    "attention_norm": ("input_layernorm", "attn_norm", "attn_norm", "norm_attn", "attn_norm"),
    "attention.wq": ("self_attn.q_proj", "attn_q", "attn_q", "attn.q", "attn_q"),
    "attention.wk": ("self_attn.k_proj", "attn_k", "attn_k", "attn.k", "attn_k"),
    "attention.wv": ("self_attn.v_proj", "attn_v", "attn_v", "attn.v", "attn_v"),
    "attention.wo": ("self_attn.o_proj", "attn_o", "attn_output", "attn.o", "attn_output"),
    "ffn_norm": ("post_attention_layernorm", "ffn_norm", "ffn_norm", "norm_ffn", "ffn_norm"),
    "feed_forward.w1": ("mlp.gate_proj", "ffn_w1", "ffn_gate", "ffn.gate", "ffn_gate"),
    "feed_forward.w2": ("mlp.down_proj", "ffn_w2", "ffn_down", "ffn.down", "ffn_down"),
    "feed_forward.w3": ("mlp.up_proj", "ffn_w3", "ffn_up", "ffn.up", "ffn_up"),
    _module(ADA.format(0)): ("ada_rms_norm.linear1", "ada0", "ada_norm_down", "ada.linear_1", "ffn_norm_ada_down"),
    _module(ADA.format(2)): ("ada_rms_norm.linear2", "ada2", "ada_norm_up", "ada.linear_2", "ffn_norm_ada_up"),
}
# fmt: on

_FIELDS = "heads", "kv_heads", "head_dim", "window", "epsilon", "rope_base"  # of METADATA_KEYS
_SHORT = "n_heads", "n_kv_heads", "head_dim", "sliding_window", "rms_norm_eps", "rope_theta"
_MISTRAL = "n_heads", "n_kv_heads", "head_dim", "sliding_window", "norm_eps", "rope_theta"
_LLAMA = "head_count", "head_count_kv", "key_length", "sliding_window", "layer_norm_rms_epsilon"
_MISTRAL_ENCODER = "multimodal.whisper_model_args.encoder_args"


@dataclass(frozen=True)
class Dialect:
    """One program's names and keys."""

    name: str
    half_rope: bool  # rows of wq and wk in halves (Hugging Face) instead of pairs (Mistral)
    column: int | None = None  # of the tables of names; None: Mistral's
    encoder: tuple[str, ...] = ()  # keys of the encoder's numbers, as _FIELDS
    decoder: tuple[str, ...] = ()
    delay_tokens: str = ""  # key of the delay that the maker recommends, in tokens
    left_silence_tokens: str = ""
    json: str = ""  # the file that must have these keys, if it is not the model's header

    def sign(self) -> str:
        """A tensor that only this dialect has."""
        if self.column is None:
            return EMBEDDING
        return _ENCODER[ENCODER_LAYER][self.column].format(0) + _ENCODER["attention.wq"][self.column] + ".weight"

    def names(self) -> dict[str, str]:
        """Module -> Mistral's module, with {} for a layer's number."""
        if self.column is None:
            return {}
        names = {modules[self.column]: module for module, modules in _MODEL.items()}
        for layer, table in ((ENCODER_LAYER, _ENCODER), (DECODER_LAYER, _DECODER)):
            prefix = table[layer][self.column]
            names |= {prefix + modules[self.column]: layer + of for of, modules in table.items() if of != layer}
        return names


def _keys(prefix: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(prefix + name for name in names)


def _hugging_face(section: str) -> tuple[str, ...]:
    return _keys(
        f"{section}.",
        (
            "num_attention_heads",
            f"num_key_value_heads|{section}.num_attention_heads",
            "head_dim",
            "sliding_window",
            "rms_norm_eps",
            f"rope_parameters.rope_theta|{section}.rope_theta",
        ),
    )


# In a key, "|" is before one that counts if the key is not there.
HUGGING_FACE = Dialect(
    "Hugging Face",
    half_rope=True,
    column=0,
    encoder=_hugging_face("audio_config"),
    decoder=_hugging_face("text_config"),
    delay_tokens="default_num_delay_tokens",
    json="config.json",
)
MISTRAL = Dialect("Mistral", half_rope=False)
MISTRAL_CONSOLIDATED = replace(
    MISTRAL, encoder=_keys(_MISTRAL_ENCODER + ".", _MISTRAL), decoder=_MISTRAL, json="params.json"
)
LLAMA_CPP = Dialect(
    "llama.cpp",
    half_rope=False,
    column=4,
    encoder=(
        "clip.audio.attention.head_count",
        "clip.audio.attention.head_count",
        "clip.audio.attention.head_dim",
        "clip.audio.window_size",
        "clip.audio.attention.layer_norm_epsilon",
        "clip.audio.rope.freq_base",  # no file was seen that has it
    ),
    decoder=(*_keys("mistral3.attention.", _LLAMA), "mistral3.rope.freq_base"),
    delay_tokens="mistral3.realtime_delay_tokens",
)
DIALECTS = (
    MISTRAL,
    HUGGING_FACE,
    Dialect(
        "voxtral.cpp",
        half_rope=False,
        column=1,
        encoder=_keys("voxtral.encoder.", _MISTRAL),
        decoder=_keys("voxtral.decoder.", _MISTRAL),
        delay_tokens="voxtral.audio.n_delay_tokens",
        left_silence_tokens="voxtral.audio.n_left_pad_tokens",
    ),
    Dialect(
        "CrispASR",
        half_rope=True,
        column=2,
        encoder=_keys("voxtral4b.audio.", ("n_heads", "n_kv_heads|voxtral4b.audio.n_heads", *_SHORT[2:])),
        decoder=_keys("voxtral4b.llm.", _SHORT),
    ),
    Dialect(
        "transcribe.cpp",
        half_rope=True,
        column=3,
        encoder=_keys("stt.voxtral_realtime.encoder.", _SHORT),
        decoder=_keys("stt.voxtral_realtime.decoder.", _SHORT),
        delay_tokens="stt.voxtral_realtime.time.default_num_delay_tokens",
    ),
    LLAMA_CPP,
)
_PREFIX = re.compile(r"^(model\.)?(language_model\.(model\.)?)?")  # in front of Hugging Face's names; some of Mistral's


def translated(directory: Directory, config: dict | None = None) -> Directory:
    """The directory with Mistral's names, Voxtab's keys, and its dialect.

    `config` is what config.json or params.json says, if one belongs to the model. ModelError if the names are of no
    known dialect, or if the JSON does not say what it must.
    """
    dialect = dialect_of(directory)
    metadata = directory.metadata
    if config is not None:
        metadata = metadata | _flat(config)
        if dialect is MISTRAL:
            dialect = MISTRAL_CONSOLIDATED
    for stack, keys in (("encoder", dialect.encoder), ("decoder", dialect.decoder)):
        for field, key in zip(_FIELDS, keys):
            found = [metadata[name] for name in key.split("|") if name in metadata]
            if found:
                metadata = metadata | {f"voxtral_realtime.{stack}.{METADATA_KEYS[field]}": found[0]}
            elif dialect.json:
                raise ModelError(
                    f"{dialect.json} does not say {quoted(key.partition('|')[0])}: use the one of a Voxtral Realtime "
                    "model."
                )
    delay, silence = metadata.get(dialect.delay_tokens), metadata.get(dialect.left_silence_tokens)
    if type(delay) is int:
        metadata = metadata | {DEFAULTS["delay_ms"]: TOKEN_MS * delay}
    if silence is not None:
        metadata = metadata | {DEFAULTS["left_silence_tokens"]: silence}
    new_name = Renaming(dialect)
    return replace(
        directory,
        tensors={new_name(name): _flat_bias(tensor) for name, tensor in directory.tensors.items()},
        unreadable={new_name(name): error for name, error in directory.unreadable.items()},
        metadata=metadata,
        dialect=dialect.name,
        half_rope=dialect.half_rope,
    )


def dialect_of(directory: Directory) -> Dialect:
    """ModelError if it is none of DIALECTS."""
    names = {_PREFIX.sub("", name) for name in (*directory.tensors, *directory.unreadable)}
    for dialect in DIALECTS:
        if dialect.sign() in names:
            return dialect
    if is_text_half(directory):
        raise ModelError(
            "This is the half of a model that llama.cpp has in two files, without the audio encoder: put its mmproj "
            "file, whose name has mmproj in it, beside it."
        )
    kind = directory.metadata.get("general.architecture")
    called = f"its architecture is {quoted(kind)}" if isinstance(kind, str) else "its names are of another program"
    raise ModelError(
        f"This is not a Voxtral Realtime model, or {called} and cannot be read: use a model with the names of "
        f"{', '.join(dialect.name for dialect in DIALECTS[:-1])} or {DIALECTS[-1].name}."
    )


def is_text_half(directory: Directory) -> bool:
    """Whether this is llama.cpp's text model, whose encoder is in another file."""
    return "blk.0.ffn_norm_ada_down.weight" in directory.tensors and LLAMA_CPP.sign() not in directory.tensors


class Renaming:
    """A tensor's name in a dialect -> Mistral's, or the same name if the dialect does not have it."""

    def __init__(self, dialect: Dialect):
        self._modules = dialect.names()

    def __call__(self, name: str) -> str:
        bare = _PREFIX.sub("", name)
        module, _, kind = bare.rpartition(".")
        if module in self._modules:
            return f"{self._modules[module]}.{kind}"
        layer = re.search(r"\.(\d+)\.", module)
        if layer:
            general = module[: layer.start(1)] + "{}" + module[layer.end(1) :]
            if general in self._modules:
                return f"{self._modules[general].format(layer[1])}.{kind}"
        return bare


def _flat_bias(tensor: Tensor) -> Tensor:
    """llama.cpp's biases of convolutions have the shape [n, 1]."""
    if tensor.name.endswith(".bias") and tensor.shape[1:] == (1,):
        return replace(tensor, shape=tensor.shape[:1])
    return tensor


def _flat(config: dict) -> dict[str, object]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, object] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": inner for name, inner in _flat(value).items()}
        else:
            flat[str(key)] = value
    return flat
