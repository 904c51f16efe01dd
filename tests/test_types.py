"""Models whose tensors have ggml's other types, mixed as files have them: every token is the float64 forward's."""

import re
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import soundfile

import ggml
from conftest import VARIANTS
from forward import forward, read_weights
from synthetic import VOXTRAL_4B
from voxtab.native import models
from voxtab.transcriber import Transcriber
from voxtab.weights import checkpoint

ORACLE = Path(__file__).parent / "oracle/delay480"
# As narrow as the K types allow: their blocks have 256 values.
CONFIG = replace(
    VOXTRAL_4B,
    vocabulary=2048,
    encoder=replace(VOXTRAL_4B.encoder, layers=2, width=256, heads=4, kv_heads=4, head_dim=64, hidden=512, window=50),
    decoder=replace(VOXTRAL_4B.decoder, layers=2, width=256, heads=4, kv_heads=2, head_dim=64, hidden=512, window=60),
)
# As llama.cpp's Q4_K_M has them, where half of the values and of the down products have more bits, and so has the
# embedding; and then the other types.
TYPES = [
    (r"norm\.weight|bias", "F32"),
    ("conv", "F16"),
    ("ada_rms_norm_t_cond.2", "Q8_0"),  # 32 columns
    ("tok_embeddings", "Q6_K"),
    ("attention.wv", "Q6_K"),
    (r"layers\.0\.feed_forward\.w2", "Q6_K"),
    ("attention.wo", "Q5_K"),
    (r"encoder.*layers\.0\.feed_forward\.w[13]", "Q5_0"),
    (r"encoder.*layers\.1\.feed_forward", "Q5_1"),
    ("audio_language_projection.0", "Q4_1"),
    ("audio_language_projection.2", "Q8_0"),
    ("ada_rms_norm_t_cond.0", "BF16"),
    ("", "Q4_K"),
]


def write(path: Path) -> None:
    random, writer = np.random.default_rng(3), gguf.GGUFWriter(path, "voxtral_realtime")
    for part, stack in (("encoder", CONFIG.encoder), ("decoder", CONFIG.decoder)):
        for field, key in checkpoint.METADATA_KEYS.items():
            value = getattr(stack, field)
            (writer.add_uint32 if isinstance(value, int) else writer.add_float32)(
                f"voxtral_realtime.{part}.{key}", value
            )
    for name, shape in checkpoint.shapes(CONFIG, 32).items():
        values = random.standard_normal(shape).astype(np.float32)
        if name.endswith("norm.weight"):
            values = (1 + 0.2 * values) * (30 if name == checkpoint.DECODER_NORM else 1)  # so that logits differ
        elif name.endswith(".bias"):
            values *= 0.1
        else:
            values *= (0.05 if "tok_embeddings" in name else 1.5) / np.sqrt(np.prod(shape[1:]))
        kind = gguf.GGMLQuantizationType[next(type for pattern, type in TYPES if re.search(pattern, name))]
        if kind.name in ggml.K_TYPES:
            raw = ggml.quantise(values, kind.name).reshape(shape[0], -1)
        else:
            raw = gguf.quants.quantize(values, kind)
        writer.add_tensor(name, raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_mixed_types(tmp_path, device, run):
    write(tmp_path / "model.gguf")
    found = models.read_model(tmp_path / "model.gguf", ORACLE / "tekken.json")
    model = run(found.load(device, cache_f16=False, variants=replace(VARIANTS["software"], block_tokens=8)))
    samples = soundfile.read(ORACLE / "clip.flac", dtype="float32")[0][:16_000]
    transcriber = Transcriber(model)
    transcriber.feed(samples)
    transcriber.finish()
    run(_whole(transcriber))
    logits = forward(found.config, read_weights(found), samples, 6, transcriber.tokens[:-1])["logits"]
    made = transcriber.tokens[39:]
    assert len(made) > 20 and len({*made}) > 3, "the model says something"
    best = np.sort(logits[38:], axis=1)
    sure = best[:, -1] - best[:, -2] > 1e-3
    assert sure.mean() > 0.9
    assert (logits[38:].argmax(1) == made)[sure].all()


async def _whole(transcriber) -> None:
    async for _ in transcriber.text():
        pass
