"""What converting has changed: two models on the same audio."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxtab.check import transcribed
from voxtab.native import models
from voxtab.native.making.running import logits
from voxtab.native.models import LocalModel


@dataclass(frozen=True)
class Comparison:
    """Of a source and of what was made of it. `positions` make a token; at each, both have the same tokens before."""

    positions: int
    same_best: int  # positions with the same best token
    divergence: float  # nats: the mean of KL(source, made) of the distributions of the next token
    largest_error: float  # of a logit
    tokens_different: int  # of two streams, each with its own tokens
    source_text: str
    made_text: str


async def compare(source: LocalModel, made: LocalModel, samples: np.ndarray, gpu: int, folder: Path) -> Comparison:
    """Run both, one after the other, on `samples` [samples] f32; `folder` is where the source's logits wait: 6.6 MB for
    a second of audio with the 4B model."""
    with tempfile.TemporaryFile(dir=folder) as kept:
        with await models.load_model(source, gpu=gpu) as model:
            tokens, source_text = await transcribed(model, samples)
            async for row in logits(model, samples, tokens):
                kept.write(row.data)
            await model.device.done()
        kept.seek(0)
        positions = same = 0
        divergence = largest = 0.0
        with await models.load_model(made, gpu=gpu) as model:
            own, made_text = await transcribed(model, samples)
            async for row in logits(model, samples, tokens):
                before = np.frombuffer(kept.read(row.nbytes), np.float32)
                positions += 1
                same += int(before.argmax() == row.argmax())
                p, q = _log_softmax(before), _log_softmax(row)
                divergence += float((np.exp(p) * (p - q)).sum())
                largest = max(largest, float(np.abs(before - row).max()))
            await model.device.done()
    different = sum(a != b for a, b in zip(tokens, own, strict=True))
    return Comparison(positions, same, divergence / positions, largest, different, source_text, made_text)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max()
    return shifted - np.log(np.exp(shifted).sum())
