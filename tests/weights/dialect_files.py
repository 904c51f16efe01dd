"""The tiny oracle's model as other programs write it: their names, row orders, keys and vocabularies (spec 9.4).

The names here are written out from each program's converter, apart from the engine's tables.
"""

import base64
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import gguf as gguf_py
import numpy as np
import safetensors.numpy

import reference

ORACLE = Path(__file__).parents[1] / "oracle/delay480"
CONFIG = json.loads((ORACLE / "config.json").read_text())
VOCABULARY = CONFIG["text_config"]["vocab_size"]

PARAMS = {
    "n_heads": CONFIG["text_config"]["num_attention_heads"],
    "n_kv_heads": CONFIG["text_config"]["num_key_value_heads"],
    "head_dim": CONFIG["text_config"]["head_dim"],
    "sliding_window": CONFIG["text_config"]["sliding_window"],
    "norm_eps": 1e-5,
    "rope_theta": 1e6,
    "multimodal": {
        "whisper_model_args": {
            "encoder_args": {
                "n_heads": CONFIG["audio_config"]["num_attention_heads"],
                "n_kv_heads": CONFIG["audio_config"]["num_attention_heads"],
                "head_dim": CONFIG["audio_config"]["head_dim"],
                "sliding_window": CONFIG["audio_config"]["sliding_window"],
                "norm_eps": 1e-5,
                "rope_theta": 1e6,
            }
        }
    },
}

HF_LAYER = r"^(audio_tower|language_model\.model)\.layers\.(\d+)\."

Named = dict[str, np.ndarray]
RENAMES: dict[str, list[tuple[str, str]]] = {
    "transcribe.cpp": [
        (r"^audio_tower\.embedder\.conv1", "enc.conv.0"),
        (r"^audio_tower\.embedder\.conv2", "enc.conv.1"),
        (r"^audio_tower\.norm", "enc.final_norm"),
        (r"^audio_tower\.layers", "enc.blocks"),
        (r"^multi_modal_projector", "proj"),
        (r"^language_model\.model\.embed_tokens", "dec.token_embd"),
        (r"^language_model\.model\.norm", "dec.output_norm"),
        (r"^language_model\.model\.layers", "dec.blocks"),
        (r"self_attn_layer_norm|input_layernorm", "norm_attn"),
        (r"final_layer_norm|post_attention_layernorm", "norm_ffn"),
        (r"self_attn\.([qkv])_proj", r"attn.\1"),
        (r"^(enc.*)self_attn\.o_proj", r"\1attn.out"),
        (r"self_attn\.o_proj", "attn.o"),
        (r"mlp\.(gate|up|down)_proj", r"ffn.\1"),
        (r"ada_rms_norm\.linear", "ada.linear_"),
    ],
    "CrispASR": [
        (r"^audio_tower\.embedder\.conv", "audio.conv."),
        (r"^audio_tower\.norm", "audio.ln_post"),
        (r"^audio_tower\.layers", "audio.blk"),
        (r"^multi_modal_projector\.linear_", "proj"),
        (r"^language_model\.model\.embed_tokens", "token_embd"),
        (r"^language_model\.model\.norm", "output_norm"),
        (r"^language_model\.model\.layers", "blk"),
        (r"self_attn_layer_norm|input_layernorm", "attn_norm"),
        (r"final_layer_norm|post_attention_layernorm", "ffn_norm"),
        (r"self_attn\.([qkv])_proj", r"attn_\1"),
        (r"^(audio.*)self_attn\.o_proj", r"\1attn_out"),
        (r"self_attn\.o_proj", "attn_output"),
        (r"mlp\.(gate|up|down)_proj", r"ffn_\1"),
        (r"ada_rms_norm\.linear1", "ada_norm_down"),
        (r"ada_rms_norm\.linear2", "ada_norm_up"),
    ],
    "voxtral.cpp": [
        (r"^audio_tower\.embedder\.conv1", "enc.conv0"),
        (r"^audio_tower\.embedder\.conv2", "enc.conv1"),
        (r"^audio_tower\.norm", "enc.norm"),
        (r"^audio_tower\.layers", "enc.blk"),
        (r"^multi_modal_projector\.linear_1", "adapter.0"),
        (r"^multi_modal_projector\.linear_2", "adapter.2"),
        (r"^language_model\.model\.embed_tokens", "tok_embeddings"),
        (r"^language_model\.model\.norm", "norm"),
        (r"^language_model\.model\.layers", "dec.blk"),
        (r"self_attn_layer_norm|input_layernorm", "attn_norm"),
        (r"final_layer_norm|post_attention_layernorm", "ffn_norm"),
        (r"self_attn\.([qkvo])_proj", r"attn_\1"),
        (r"mlp\.gate_proj", "ffn_w1"),
        (r"mlp\.down_proj", "ffn_w2"),
        (r"mlp\.up_proj", "ffn_w3"),
        (r"ada_rms_norm\.linear1", "ada0"),
        (r"ada_rms_norm\.linear2", "ada2"),
    ],
    "llama.cpp": [
        (r"^audio_tower\.embedder\.conv", "a.conv1d."),
        (r"^audio_tower\.norm", "a.post_ln"),
        (r"^audio_tower\.layers", "a.blk"),
        (r"^multi_modal_projector\.linear_", "mm.a.mlp."),
        (r"^language_model\.model\.embed_tokens", "token_embd"),
        (r"^language_model\.model\.norm", "output_norm"),
        (r"^language_model\.model\.layers", "blk"),
        (r"self_attn_layer_norm", "ln1"),
        (r"final_layer_norm", "ln2"),
        (r"input_layernorm", "attn_norm"),
        (r"post_attention_layernorm", "ffn_norm"),
        (r"self_attn\.([qkv])_proj", r"attn_\1"),
        (r"^(a\..*)self_attn\.o_proj", r"\1attn_out"),
        (r"self_attn\.o_proj", "attn_output"),
        (r"mlp\.(gate|up|down)_proj", r"ffn_\1"),
        (r"ada_rms_norm\.linear1", "ffn_norm_ada_down"),
        (r"ada_rms_norm\.linear2", "ffn_norm_ada_up"),
    ],
    "Mistral": [
        (r"^audio_tower\.embedder\.conv1", "ENCODERconv_layers.0.conv"),
        (r"^audio_tower\.embedder\.conv2", "ENCODERconv_layers.1.conv"),
        (r"^audio_tower\.norm", "ENCODERtransformer.norm"),
        (r"^audio_tower\.layers", "ENCODERtransformer.layers"),
        (r"^ENCODER", "mm_streams_embeddings.embedding_module.whisper_encoder."),
        (
            r"^multi_modal_projector\.linear_1",
            "mm_streams_embeddings.embedding_module.audio_language_projection.0",
        ),
        (
            r"^multi_modal_projector\.linear_2",
            "mm_streams_embeddings.embedding_module.audio_language_projection.2",
        ),
        (r"^language_model\.model\.embed_tokens", "mm_streams_embeddings.embedding_module.tok_embeddings"),
        (r"^language_model\.model\.", ""),
        (r"self_attn_layer_norm|input_layernorm", "attention_norm"),
        (r"final_layer_norm|post_attention_layernorm", "ffn_norm"),
        (r"self_attn\.([qkvo])_proj", r"attention.w\1"),
        (r"mlp\.gate_proj", "feed_forward.w1"),
        (r"mlp\.down_proj", "feed_forward.w2"),
        (r"mlp\.up_proj", "feed_forward.w3"),
        (r"ada_rms_norm\.linear1", "ada_rms_norm_t_cond.0"),
        (r"ada_rms_norm\.linear2", "ada_rms_norm_t_cond.2"),
    ],
}
INTERLEAVED = "voxtral.cpp", "llama.cpp", "Mistral"


def hugging_face() -> Named:
    """The oracle's tensors by the names of spec 9.1, (b)."""
    tensors = safetensors.numpy.load_file(ORACLE / "model.safetensors")
    return {
        re.sub(r"^model\.(language_model)\.", r"\1.model.", name).removeprefix("model."): t
        for name, t in tensors.items()
    }


def tensors_of(dialect: str) -> Named:
    """The same in a dialect's names and row order."""
    made = {}
    for name, tensor in hugging_face().items():
        if dialect in INTERLEAVED and re.search(r"self_attn\.[qk]_proj", name):
            section = CONFIG["audio_config" if name.startswith("audio_tower") else "text_config"]
            tensor = _in_pairs(tensor, section["head_dim"])
        for pattern, to in RENAMES[dialect]:
            name = re.sub(pattern, to, name)
        made[name] = tensor
    return made


def _in_pairs(rows: np.ndarray, head_dim: int) -> np.ndarray:
    """Rows h and h + head_dim / 2 of each head become 2h and 2h + 1 (spec 9.1)."""
    heads = len(rows) // head_dim
    return rows.reshape(heads, 2, head_dim // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def _stack(section: str, names: str, **more) -> dict:
    stack = CONFIG[section]
    values = (
        stack["num_attention_heads"],
        stack.get("num_key_value_heads", stack["num_attention_heads"]),
        stack["head_dim"],
        stack["sliding_window"],
        stack["rms_norm_eps"],
        float(stack["rope_parameters"]["rope_theta"]),
    )
    return {name: value for name, value in zip(names.split(), values) if name != "-"} | more


# What transcribe.cpp's own reader demands besides.
_TRANSCRIBE = {
    "general.basename": "voxtral_realtime",
    "stt.variant": "tiny",
    "stt.capability.lang_detect": True,
    "stt.capability.translate": False,
    "stt.capability.streaming": True,
    "stt.voxtral_realtime.streaming_pad_token_id": 32,
    "stt.voxtral_realtime.encoder.n_layers": CONFIG["audio_config"]["num_hidden_layers"],
    "stt.voxtral_realtime.encoder.d_model": CONFIG["audio_config"]["hidden_size"],
    "stt.voxtral_realtime.encoder.ffn_dim": CONFIG["audio_config"]["intermediate_size"],
    "stt.voxtral_realtime.encoder.num_mel_bins": 128,
    "stt.voxtral_realtime.encoder.max_position_embeddings": 1500,
    "stt.voxtral_realtime.encoder.hidden_act": "silu",
    "stt.voxtral_realtime.projector.downsample_factor": 4,
    "stt.voxtral_realtime.projector.input_dim": 4 * CONFIG["audio_config"]["hidden_size"],
    "stt.voxtral_realtime.projector.hidden_act": "gelu",
    "stt.voxtral_realtime.projector.audio_length_per_tok": 8,
    "stt.voxtral_realtime.decoder.n_layers": CONFIG["text_config"]["num_hidden_layers"],
    "stt.voxtral_realtime.decoder.hidden_size": CONFIG["text_config"]["hidden_size"],
    "stt.voxtral_realtime.decoder.intermediate_size": CONFIG["text_config"]["intermediate_size"],
    "stt.voxtral_realtime.decoder.hidden_act": "silu",
    "stt.voxtral_realtime.decoder.max_position_embeddings": 131072,
    "stt.voxtral_realtime.decoder.tie_word_embeddings": True,
    "stt.voxtral_realtime.decoder.vocab_size": VOCABULARY,
    "stt.voxtral_realtime.time.default_num_delay_tokens": 6,
    "stt.voxtral_realtime.time.embed_theta": 10000.0,
    "stt.voxtral_realtime.time.embed_dim": CONFIG["text_config"]["hidden_size"],
    "stt.voxtral_realtime.time.ada_hidden": 32,
    "stt.frontend.type": "mel",
    "stt.frontend.num_mels": 128,
    "stt.frontend.sample_rate": 16000,
    "stt.frontend.n_fft": 400,
    "stt.frontend.win_length": 400,
    "stt.frontend.hop_length": 160,
    "stt.frontend.window": "hann_periodic",
    "stt.frontend.normalize": "global",
    "stt.frontend.global_log_mel_max": 1.5,
    "stt.frontend.dither": 0.0,
    "stt.frontend.pre_emphasis": 0.0,
    "stt.frontend.f_min": 0.0,
    "stt.frontend.f_max": 8000.0,
    "stt.frontend.pad_mode": "reflect",
    "stt.frontend.center": True,
    "stt.frontend.mel_norm": "slaney",
}
_SHORT = "n_heads n_kv_heads head_dim sliding_window rms_norm_eps rope_theta"


def _prefixed(prefix: str, values: dict) -> dict:
    return {prefix + name: value for name, value in values.items()}


METADATA: dict[str, dict] = {
    "transcribe.cpp": _TRANSCRIBE
    | _prefixed("stt.voxtral_realtime.encoder.", _stack("audio_config", _SHORT))
    | _prefixed("stt.voxtral_realtime.decoder.", _stack("text_config", _SHORT)),
    "CrispASR": _prefixed("voxtral4b.audio.", _stack("audio_config", "n_heads - head_dim sliding_window - rope_theta"))
    | _prefixed("voxtral4b.llm.", _stack("text_config", _SHORT)),
    "voxtral.cpp": _prefixed("voxtral.encoder.", _stack("audio_config", _SHORT.replace("rms_", "")))
    | _prefixed("voxtral.decoder.", _stack("text_config", _SHORT.replace("rms_", "")))
    | {"voxtral.audio.n_delay_tokens": 6, "voxtral.audio.n_left_pad_tokens": 32},
    "llama.cpp": _prefixed(
        "mistral3.",
        _stack(
            "text_config",
            "attention.head_count attention.head_count_kv attention.key_length attention.sliding_window "
            "attention.layer_norm_rms_epsilon rope.freq_base",
            realtime_delay_tokens=6,
        ),
    ),
    "mmproj": _prefixed(
        "clip.audio.",
        _stack("audio_config", "attention.head_count - attention.head_dim window_size attention.layer_norm_epsilon -"),
    )
    | {"clip.has_audio_encoder": True, "clip.projector_type": "voxtral_rt"},
}
ARCHITECTURES = {
    "transcribe.cpp": "voxtral_realtime",
    "CrispASR": "voxtral4b",
    "voxtral.cpp": "voxtral_realtime",
    "llama.cpp": "mistral3",
    "mmproj": "clip",
}


def pieces() -> list[bytes]:
    """The text tokens of the oracle's tekken.json, by rank; as in real files, more than the model uses."""
    vocabulary = json.loads((ORACLE / "tekken.json").read_text())["vocab"]
    return [base64.b64decode(entry["token_bytes"]) for entry in vocabulary]


def _gpt2(piece: bytes) -> str:
    seen = [*range(33, 127), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return "".join(chr(byte if byte in seen else 256 + hidden.index(byte)) for byte in piece)


def add_vocabulary(writer: gguf_py.GGUFWriter, dialect: str) -> None:
    used = pieces()[: VOCABULARY - 1000]
    if dialect in ("transcribe.cpp", "llama.cpp"):
        special = {0: "<unk>", 1: "<s>", 2: "</s>", 32: "[STREAMING_PAD]", 33: "[STREAMING_WORD]"}
        writer.add_string("tokenizer.ggml.model", "gpt2")
        writer.add_string("tokenizer.ggml.pre", "tekken")
        writer.add_array(
            "tokenizer.ggml.tokens",
            [special.get(i, f"<SPECIAL_{i}>") for i in range(1000)] + [_gpt2(piece) for piece in used],
        )
        writer.add_array("tokenizer.ggml.token_type", [3] * 1000 + [1] * len(used))
        writer.add_array("tokenizer.ggml.merges", ["a b"])
        for name, token in (("bos", 1), ("eos", 2), ("unknown", 0), ("padding", 11)):
            writer.add_uint32(f"tokenizer.ggml.{name}_token_id", token)
    elif dialect == "voxtral.cpp":
        writer.add_array(
            "voxtral.tokenizer.vocab_token_bytes_b64", [base64.b64encode(piece).decode() for piece in used]
        )
    elif dialect == "CrispASR":
        blob = b"".join(len(piece).to_bytes(2, "little") + piece for piece in pieces())
        writer.add_tensor("tokenizer.tekken.vocab_tensor", np.frombuffer(blob, np.uint8).astype(np.float32))


def write_gguf(
    path: Path,
    dialect: str,
    tensors: Named,
    *,
    quantise: Callable[[str, np.ndarray], str] = lambda name, tensor: "F32",
    vocabulary: bool = True,
    more: dict | None = None,
) -> Path:
    """`quantise` gives each tensor's type, `more` is more metadata. transcribe.cpp's files get what it demands."""
    writer = gguf_py.GGUFWriter(path, ARCHITECTURES[dialect])
    for key, value in (METADATA[dialect] | (more or {})).items():
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
        add[type(value)](key, value)
    if vocabulary:
        add_vocabulary(writer, dialect)
    if dialect == "transcribe.cpp":
        half = CONFIG["text_config"]["hidden_size"] // 2
        writer.add_tensor("frontend.mel_filterbank", reference.slaney_filters().T.astype(np.float32).copy())
        writer.add_tensor("frontend.window", reference.hann().astype(np.float32))
        writer.add_tensor("dec.time_embed.inv_freq", (10000.0 ** (-np.arange(half) / half)).astype(np.float32))
    for name, tensor in tensors.items():
        kind = gguf_py.GGMLQuantizationType[quantise(name, tensor)]
        raw = gguf_py.quants.quantize(np.ascontiguousarray(tensor, np.float32), kind)
        writer.add_tensor(name, raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write(folder: Path, dialect: str) -> None:
    """The oracle as a new folder with the files of a dialect; only Mistral's has a tekken.json."""
    folder.mkdir()
    tensors = tensors_of(dialect)
    if dialect == "Mistral":
        safetensors.numpy.save_file(tensors, folder / "consolidated.safetensors")
        (folder / "params.json").write_text(json.dumps(PARAMS))
        shutil.copy(ORACLE / "tekken.json", folder)
    elif dialect == "llama.cpp":
        audio = {key: tensors[key] for key in tensors if key.startswith(("a.", "mm."))}
        audio |= {key: audio[key].reshape(-1, 1) for key in ("a.conv1d.1.bias", "a.conv1d.2.bias")}
        write_gguf(folder / "model.gguf", dialect, {key: tensors[key] for key in tensors.keys() - audio})
        write_gguf(folder / "mmproj-model.gguf", "mmproj", audio, vocabulary=False)
    else:
        write_gguf(folder / "model.gguf", dialect, tensors)


def write_index(folder: Path) -> list[str]:
    """Hugging Face's layout in two shards, with its index, config.json and tekken.json. Returns the shards' names."""
    tensors = [*hugging_face().items()]
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    halves = [dict(tensors[i::2]) for i in range(2)]
    for name, half in zip(names, halves):
        safetensors.numpy.save_file(half, folder / name)
    weight_map = {key: name for name, half in zip(names, halves) for key in half}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    for name in ("config.json", "tekken.json"):
        shutil.copy(ORACLE / name, folder)
    return names


def write_parts(folder: Path) -> list[str]:
    """voxtral.cpp's file in three parts, as gguf-split makes them. Returns their names."""
    tensors = [*tensors_of("voxtral.cpp").items()]
    names = [f"tiny-{i + 1:05}-of-00003.gguf" for i in range(3)]
    for i, name in enumerate(names):
        split = {"split.no": i, "split.count": 3, "split.tensors.count": len(tensors)}
        write_gguf(folder / name, "voxtral.cpp", dict(tensors[i::3]), vocabulary=not i, more=split)
    return names
