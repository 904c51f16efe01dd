"""The whole model in NumPy float64, offline: what the engine must reproduce on any weights.

Like transformers except for RoPE's angles, which transformers multiplies in float32 (1e-5 rad off by position 364).
"""

import numpy as np

import ggml
import reference
from voxtab.weights import checkpoint as names


def read_weights(found) -> dict[str, np.ndarray]:
    """Every tensor of a LocalModel by Mistral's name, dequantised, float64."""
    weights = {}
    for name, tensor in found.directory.tensors.items():
        raw = np.frombuffer(found.source.read(tensor.offset, tensor.nbytes), np.uint8)
        if tensor.type in ("Q4_0", *ggml.TYPES):
            values = ggml.dequantise(raw, tensor.type, tensor.shape)
        elif tensor.type == "BF16":
            values = (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            values = raw.view({"F32": np.float32, "F16": np.float16}[tensor.type])
        weights[name] = values.reshape(tensor.shape).astype(float)
    return weights


def forward(config, weights, samples, delay_tokens, tokens, left=32):
    """All stages of a stream of `samples` with silence around it, with `tokens` as the tokens of positions 0.. .

    Returns {"mel", "conv1", "conv2", "enc_layers", "enc_out", "adapter", "dec_layers", "logits"}; logits[p] are of p.
    """
    samples = np.concatenate(
        [np.zeros(left * 1280 + 200), samples, np.zeros(-len(samples) % 1280 + (delay_tokens + 11) * 1280 + 200)]
    )
    stages = {
        "mel": reference.log_mel(
            np.lib.stride_tricks.sliding_window_view(samples, 400)[: (len(samples) - 400) // 160 * 160 : 160]
        )
    }
    x = stages["mel"]
    for i, (stride, before) in enumerate(((1, 2), (2, 1))):
        conv = (weights[names.CONV.format(i, part)] for part in ("weight", "bias"))
        x = reference.conv(np.concatenate([np.zeros((before, x.shape[1])), x]), *conv, stride)
        stages[f"conv{i + 1}"] = x
    stages["enc_layers"] = []
    for i in range(config.encoder.layers):
        x = _layer(config, config.encoder, weights, names.ENCODER_LAYER.format(i), x)
        stages["enc_layers"].append(x)
    x = stages["enc_out"] = reference.rms_norm(x, weights[names.ENCODER_NORM], config.encoder.epsilon)
    hidden = reference.gelu(x.reshape(-1, 4 * x.shape[1]) @ weights[names.ADAPTER.format(0)].T)
    stages["adapter"] = hidden @ weights[names.ADAPTER.format(2)].T
    x = stages["adapter"][: len(tokens)] + weights[names.EMBEDDING][tokens]
    half = config.decoder.width // 2
    angles = delay_tokens * 10000.0 ** (-np.arange(half) / half)
    condition = np.concatenate([np.cos(angles), np.sin(angles)])
    stages["dec_layers"] = []
    for i in range(config.decoder.layers):
        prefix = names.DECODER_LAYER.format(i)
        ada = weights[prefix + names.ADA.format(2)] @ reference.gelu(weights[prefix + names.ADA.format(0)] @ condition)
        x = _layer(config, config.decoder, weights, prefix, x, 1 + ada)
        stages["dec_layers"].append(x)
    stages["logits"] = (
        reference.rms_norm(x, weights[names.DECODER_NORM], config.decoder.epsilon) @ weights[names.EMBEDDING].T
    )
    return stages


def _layer(config, stack, weights, prefix, x, ffn_scale=1.0):
    def linear(name, x):
        return x @ weights[prefix + name + ".weight"].T + weights.get(prefix + name + ".bias", 0)

    positions = np.arange(len(x))
    n = reference.rms_norm(x, weights[prefix + "attention_norm.weight"], stack.epsilon)
    q, k, v = (linear(f"attention.{w}", n).reshape(len(x), -1, stack.head_dim) for w in ("wq", "wk", "wv"))
    q, k = (reference.rope(part, positions, stack.rope_base, config.half_rope) for part in (q, k))
    x = x + linear("attention.wo", reference.attention(q, k, v, positions, positions, stack.window).reshape(len(x), -1))
    n = reference.rms_norm(x, weights[prefix + "ffn_norm.weight"], stack.epsilon) * ffn_scale
    return x + linear("feed_forward.w2", reference.silu(linear("feed_forward.w1", n)) * linear("feed_forward.w3", n))
