"""Progress bars on stderr, where that is a terminal."""

import contextlib
from collections.abc import Callable, Iterator

from tqdm import tqdm

from voxtab.model import Model
from voxtab.native import models
from voxtab.native.cli.stderr import complain


def audio_bar(seconds: float | None, label: str, hidden: bool) -> tqdm:
    """How much of an audio is done, and how long the rest takes; without its length, only how much is done."""
    return tqdm(
        total=seconds and round(seconds, 1),
        desc=label,
        leave=False,
        disable=True if hidden else None,  # None: unless stderr is a terminal
        bar_format="{desc}: {percentage:3.0f}% |{bar}| {n:.0f} of {total:.0f} s, {remaining} left"
        if seconds
        else "{desc}: {n:.0f} s in {elapsed}",
    )


def files_bar(count: int, done: int) -> tqdm:
    """How many files of a batch are done, and how long the rest takes."""
    return tqdm(total=count, initial=done, unit="file", desc="batch", leave=False, disable=None)


@contextlib.contextmanager
def bytes_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """How many bytes are done: call what it gives with the bytes that are done, and all of them."""
    with tqdm(unit="B", unit_scale=True, desc=label, leave=False, disable=None) as bar:

        def progress(done: int, total: int) -> None:
            if bar.total is None:  # what a former run has done is not this one's speed
                bar.total, bar.initial, bar.n = total, done, done
            bar.update(done - bar.n)

        yield progress


async def load(found: models.LocalModel, gpu: int = 0) -> Model:
    """The model on the GPU of that index; a warning that came with it goes to stderr."""
    with tqdm(total=found.source.size, unit="B", unit_scale=True, desc="loading", leave=False, disable=None) as bar:
        model = await models.load_model(found, gpu=gpu, progress=lambda done: bar.update(done - bar.n))
    if model.warning:
        complain(model.warning)
    return model
