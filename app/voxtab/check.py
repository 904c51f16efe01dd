"""Whether an open model is right, as far as it shows (spec 13): the page's “Check this model”, `voxtab verify`'s end.

Plain Python over Model and Transcriber, so that the command and the tab check the same way.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from voxtab.bench import about, significant, step_matrices
from voxtab.config import PAD, RIGHT_SILENCE_EXTRA_TOKENS
from voxtab.gpu.kernels import Part
from voxtab.model import Model
from voxtab.transcriber import Transcriber
from voxtab.tuning import TOLERANCE, largest_error
from voxtab.weights.directory import quoted, tensor_nbytes

# Shares of pads among the tokens of speech. The real model's is 0.6 to 0.7 (spec 13).
_PADS = 0.2, 0.95
_READ_BYTES = 1 << 15  # of each part's codes: 10 MB of the 4B model's
# Of a byte with two codes: the lower and the upper one.
_LOWER, _UPPER = bytes(i & 15 for i in range(256)), bytes(i >> 4 for i in range(256))


@dataclass(frozen=True)
class Clip:
    """Speech, 16 kHz mono."""

    name: str
    samples: object  # what Transcriber.feed takes
    reference: str | None  # what is spoken; None: unknown


async def check(model: Model, clips: Iterable[Clip]) -> dict:
    """Run the model on the clips, and look at its weights as they lie on the GPU. The result can be written as JSON.

    `clips` has for each its `audio`, `text`, `reference` and `word_errors`: words that are wrong, missing or too many,
    without case and punctuation (a number in digits is another word than one in letters). `pads` is the share of pads
    among all tokens made. `types`: bytes of the weights that a live step reads, by type. `codes`: shares of the codes
    -8 to 7 among `codes_read` Q4_0 weights, read back from each matrix; None without Q4_0. `kernel_error`: how far
    the first layer is from what the plainest kernels compute, as a share of its largest value; `kernel_error_limit`:
    what is tolerated. `problem`: a sentence if it does not do what a model does that hears speech, or None.
    """
    found, pads, made = [], 0, 0
    for clip in clips:
        tokens, text = await transcribed(model, clip.samples)
        tokens = tokens[len(model.config.schedule().prompt) : -RIGHT_SILENCE_EXTRA_TOKENS]
        pads, made = pads + tokens.count(PAD), made + len(tokens)
        errors = None if clip.reference is None else word_errors(clip.reference, text)
        found.append({"audio": clip.name, "reference": clip.reference, "text": text, "word_errors": errors})
    share = pads / max(1, made)
    codes, read = await _codes(model)
    return {
        **about(model),
        "types": _types(model),
        "clips": found,
        "pads": significant(share),
        "codes": codes,
        "codes_read": read,
        "kernel_error": significant(await largest_error(model.decoder, model.kernels)),
        "kernel_error_limit": TOLERANCE,
        "problem": _problem(found, share),
    }


async def transcribed(model: Model, samples) -> tuple[list[int], str]:
    """The tokens of all positions, as a user gets them, and the text. `samples`: see `Transcriber.feed`."""
    with Transcriber(model) as transcriber:
        transcriber.feed(samples)
        transcriber.finish()
        async for _ in transcriber.text():
            pass
        return transcriber.tokens, transcriber.transcript


def word_errors(reference: str, text: str) -> int:
    """The least number of words to replace, leave out or put in that makes one of the other."""
    spoken, written = _words(reference), _words(text)
    row = list(range(len(written) + 1))
    for i, word in enumerate(spoken):
        before, row = row, [i + 1]
        for j, other in enumerate(written):
            row.append(min(row[j] + 1, before[j + 1] + 1, before[j] + (word != other)))
    return row[-1]


def _words(text: str) -> list[str]:
    """In lower case; punctuation and symbols part words."""
    return "".join(" " if unicodedata.category(c)[0] in "PS" else c for c in text.lower()).split()


def _problem(clips: list[dict], pads: float) -> str | None:
    for clip in clips:
        text, reference = clip["text"], clip["reference"]
        first = reference and _words(reference)[0]
        if not text.strip() or first and first not in text.lower():
            return (
                f"The model does not hear speech: it writes {quoted(text)} where {first or 'something'} is spoken. "
                "Its weights are damaged, or not in the order that their names promise: convert or download it again."
            )
    if not _PADS[0] <= pads <= _PADS[1]:
        return (
            f"The model does not hear speech: {pads:.0%} of its tokens are pads, and 60 to 70 % are usual. Its weights "
            "are damaged: convert or download it again."
        )
    return None


def _types(model: Model) -> dict[str, int]:
    types: dict[str, int] = {}
    for matrix in step_matrices(model):
        for part in matrix.parts:
            types[part.type] = types.get(part.type, 0) + tensor_nbytes(part.type, (part.rows, matrix.columns))
    return types


async def _codes(model: Model) -> tuple[list[float] | None, int]:
    """The share of each code in the middle of each part of a matrix, and how many codes these are."""
    device, counts = model.device, [0] * 16
    nothing = device.plan([])
    for matrix in step_matrices(model):
        for part in matrix.parts:
            if part.type == "Q4_0":
                data = await device.run(nothing, _middle(part, matrix.columns))
                for half in (_LOWER, _UPPER):
                    codes = data.translate(half)
                    for code in range(16):
                        counts[code] += codes.count(code)
    device.free(nothing)
    total = sum(counts)
    return ([significant(count / total) for count in counts] if total else None), total


def _middle(part: Part, columns: int) -> tuple[int, int, int]:
    """Where to read: the buffer, the first byte and how many, in words of four bytes."""
    nbytes = part.rows * columns // 2
    size = min(nbytes, _READ_BYTES)
    return part.weights, (nbytes - size) // 8 * 4, size
