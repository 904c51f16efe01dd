"""What a checkpoint's tensors are called, which shapes they have, and what model they make (spec 9).

The engine uses Mistral's names; `dialects.py` translates those of other programs.
"""

from typing import Any

from voxtab.config import DECODER_4B, ENCODER_4B, MEL_BINS, STATES_PER_TOKEN, ModelConfig, Stack
from voxtab.errors import ModelError
from voxtab.weights.directory import FLOATS, Directory, quoted

EMBEDDING = "mm_streams_embeddings.embedding_module.tok_embeddings.weight"
CONV = "mm_streams_embeddings.embedding_module.whisper_encoder.conv_layers.{}.conv.{}"
ENCODER_LAYER = "mm_streams_embeddings.embedding_module.whisper_encoder.transformer.layers.{}."
ENCODER_NORM = "mm_streams_embeddings.embedding_module.whisper_encoder.transformer.norm.weight"
ADAPTER = "mm_streams_embeddings.embedding_module.audio_language_projection.{}.weight"
DECODER_LAYER = "layers.{}."
DECODER_NORM = "norm.weight"
ADA = "ada_rms_norm_t_cond.{}.weight"

METADATA_KEYS = {
    "heads": "attention.head_count",
    "kv_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "window": "attention.sliding_window",
    "epsilon": "attention.layer_norm_rms_epsilon",
    "rope_base": "rope.freq_base",
}

DEFAULTS = {
    "delay_ms": "voxtral_realtime.default_delay_ms",
    "left_silence_tokens": "voxtral_realtime.left_silence_tokens",
}


def read_config(directory: Directory) -> ModelConfig:
    """The model's numbers: from shapes; what shapes cannot tell comes from metadata, in Voxtab's keys.

    `directory` has Mistral's names (`dialects.translated`). ModelError unless every tensor is there with a shape that
    fits, so that loading cannot fail on them later.
    """
    encoder, decoder = (
        {
            field: directory.metadata.get(f"voxtral_realtime.{stack}.{key}", known[field])
            for field, key in METADATA_KEYS.items()
        }
        for stack, known in (("encoder", ENCODER_4B), ("decoder", DECODER_4B))
    )
    width = _shape(directory, ENCODER_NORM, 1)[0]
    vocabulary, decoder_width = _shape(directory, EMBEDDING, 2)
    config = ModelConfig(
        encoder=_stack(directory, "encoder", ENCODER_LAYER, width, encoder),
        decoder=_stack(directory, "decoder", DECODER_LAYER, decoder_width, decoder),
        vocabulary=vocabulary,
        half_rope=directory.half_rope,
        **_defaults(directory),
    )
    for name, shape in shapes(config, _ada_width(directory)).items():
        found = _shape(directory, name, len(shape))
        if found != shape:
            raise ModelError(
                f"Tensor {quoted(name)} has the shape {list(found)}, and the rest of the model needs {list(shape)}: "
                "the file or its metadata is damaged, so download the model again."
            )
        if directory.tensors[name].type not in FLOATS and len(shape) != 2:
            raise ModelError(
                f"Tensor {quoted(name)} is {directory.tensors[name].type}, but only matrices can be: use a file that "
                "has it in F32 or F16."
            )
    for stack, layer in ((config.encoder, ENCODER_LAYER), (config.decoder, DECODER_LAYER)):
        for i in range(stack.layers):
            _same_type(directory, [layer.format(i) + f"feed_forward.{w}.weight" for w in ("w1", "w3")])
    return config


def metadata(config: ModelConfig) -> dict[str, int | float]:
    """What a file says of a model that its shapes cannot tell: `read_config` reads it."""
    return {key: getattr(config, field) for field, key in DEFAULTS.items()} | {
        f"voxtral_realtime.{name}.{key}": getattr(stack, field)
        for name, stack in (("encoder", config.encoder), ("decoder", config.decoder))
        for field, key in METADATA_KEYS.items()
    }


def shapes(config: ModelConfig, ada_width: int) -> dict[str, tuple[int, ...]]:
    """Every tensor of a model, with its shape; `ada_width` is the width of the delay conditioning's bottleneck."""
    encoder, decoder = config.encoder, config.decoder
    shapes = {
        EMBEDDING: (config.vocabulary, decoder.width),
        CONV.format(0, "weight"): (encoder.width, MEL_BINS, 3),
        CONV.format(0, "bias"): (encoder.width,),
        CONV.format(1, "weight"): (encoder.width, encoder.width, 3),
        CONV.format(1, "bias"): (encoder.width,),
        ENCODER_NORM: (encoder.width,),
        ADAPTER.format(0): (decoder.width, STATES_PER_TOKEN * encoder.width),
        ADAPTER.format(2): (decoder.width, decoder.width),
        DECODER_NORM: (decoder.width,),
    }
    for stack, prefix in ((encoder, ENCODER_LAYER), (decoder, DECODER_LAYER)):
        queries, keys = stack.heads * stack.head_dim, stack.kv_heads * stack.head_dim
        for i in range(stack.layers):
            layer = prefix.format(i)
            shapes |= {
                layer + "attention_norm.weight": (stack.width,),
                layer + "attention.wq.weight": (queries, stack.width),
                layer + "attention.wk.weight": (keys, stack.width),
                layer + "attention.wv.weight": (keys, stack.width),
                layer + "attention.wo.weight": (stack.width, queries),
                layer + "ffn_norm.weight": (stack.width,),
                layer + "feed_forward.w1.weight": (stack.hidden, stack.width),
                layer + "feed_forward.w3.weight": (stack.hidden, stack.width),
                layer + "feed_forward.w2.weight": (stack.width, stack.hidden),
            }
            if stack is encoder:
                shapes |= {
                    layer + "attention.wq.bias": (queries,),
                    layer + "attention.wv.bias": (keys,),
                    layer + "attention.wo.bias": (stack.width,),
                    layer + "feed_forward.w2.bias": (stack.width,),
                }
            else:
                shapes |= {
                    layer + ADA.format(0): (ada_width, stack.width),
                    layer + ADA.format(2): (stack.width, ada_width),
                }
    return shapes


def _defaults(directory: Directory) -> dict[str, Any]:
    """The delay and the silence that the model's maker chose, if the metadata has them."""
    return {field: directory.metadata[key] for field, key in DEFAULTS.items() if key in directory.metadata}


def _ada_width(directory: Directory) -> int:
    width = _shape(directory, DECODER_LAYER.format(0) + ADA.format(0), 2)[0]
    if width % 32:
        raise ModelError(
            f"The delay conditioning is {width} wide, but only multiples of 32 are supported: use another model."
        )
    return width


def _stack(directory: Directory, name: str, layer: str, width: int, given: dict) -> Stack:
    def impossible(field: str) -> ModelError:
        return ModelError(
            f"The model's metadata says that the {name}'s {field} is {quoted(str(given[field]))}, which is impossible: "
            "download the model again."
        )

    for field in ("heads", "kv_heads", "head_dim", "window"):
        if type(given[field]) is not int or not 0 < given[field] < 1 << 20:
            raise impossible(field)
    for field in ("epsilon", "rope_base"):
        if not isinstance(given[field], int | float) or not 0 < given[field] < 1e12:
            raise impossible(field)
    layers = 1
    while directory.has(layer.format(layers) + "attention.wq.weight"):
        layers += 1
    hidden = _shape(directory, layer.format(0) + "feed_forward.w1.weight", 2)[0]
    return Stack(layers=layers, width=width, hidden=hidden, **given)


def _shape(directory: Directory, name: str, dims: int) -> tuple[int, ...]:
    shape = directory.tensor(name).shape
    if len(shape) != dims:
        raise ModelError(
            f"Tensor {quoted(name)} has {len(shape)} dimensions instead of {dims}: give a Voxtral Realtime model."
        )
    return shape


def _same_type(directory: Directory, names: list[str]) -> None:
    """ModelError if these tensors, whose rows are made in pairs, have several types."""
    types = {directory.tensors[name].type for name in names}
    if len(types) > 1:
        raise ModelError(
            f"Tensors {' and '.join(map(quoted, names))} have several types ({', '.join(sorted(types))}): "
            "convert the model again, with one type for them."
        )
