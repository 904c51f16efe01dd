"""Audio that comes by itself -> text as it is decoded: a Transcriber is fed and read at the same time, and both end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import numpy as np

from voxtab.config import SAMPLE_RATE
from voxtab.errors import UserError
from voxtab.transcriber import ROOM_SECONDS, Transcriber


async def text_of(
    transcriber: Transcriber, blocks: AsyncIterator[np.ndarray], *, chunk: int = SAMPLE_RATE, live: bool = False
) -> AsyncGenerator[str]:
    """transcriber.text() of `blocks`, [samples] float32 of 16 kHz mono. Closes the transcriber at the end.

    chunk: samples to feed at a time; the text does not depend on it.
    live: feed each block when it comes, instead. Otherwise the model gets ROOM_SECONDS at first, to begin with whole
    blocks.

    Where `blocks` or a feed fails with a UserError, the text of what came before is given, then the error is raised.
    Any other error of either side ends the other one, and is raised.
    """
    feeding = asyncio.ensure_future(_feed(transcriber, blocks, chunk, live))
    try:
        async for text in transcriber.text():
            yield text
        await feeding
    finally:
        feeding.cancel()
        await asyncio.wait([feeding])
        if not feeding.cancelled():
            feeding.exception()  # it is raised above, or came second
        transcriber.close()


async def _feed(transcriber: Transcriber, blocks: AsyncIterator[np.ndarray], chunk: int, live: bool) -> None:
    """Never far ahead of the model: long files do not fill the memory."""
    failed: UserError | None = None
    try:
        try:
            async for burst in _live_bursts(blocks) if live else _bursts(blocks, chunk):
                for samples in burst:
                    transcriber.feed(samples)
                await transcriber.room()
        except UserError as error:
            failed = error
        transcriber.finish()
    except BaseException:
        transcriber.close()  # or its text would never end
        raise
    if failed:
        raise failed


async def _live_bursts(blocks: AsyncIterator[np.ndarray]) -> AsyncIterator[list[np.ndarray]]:
    async for block in blocks:
        yield [block]


async def _bursts(blocks: AsyncIterator[np.ndarray], chunk: int) -> AsyncIterator[list[np.ndarray]]:
    """What to feed at once: chunks for ROOM_SECONDS at first, then one each, then the rest. An error of `blocks` comes
    after the rest, which is good."""
    chunks: list[np.ndarray] = []
    waiting, least, failed = np.zeros(0, np.float32), ROOM_SECONDS * SAMPLE_RATE, None
    try:
        async for block in blocks:
            waiting = np.concatenate([waiting, block])
            while len(waiting) >= chunk:
                chunks.append(waiting[:chunk])
                waiting = waiting[chunk:]
            if chunks and sum(map(len, chunks)) >= least:
                yield chunks
                chunks, least = [], 0
    except UserError as error:
        failed = error
    yield [*chunks, waiting]
    if failed:
        raise failed
