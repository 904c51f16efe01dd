"""A model on the beginning of an audio: the logits that it gives for tokens of another."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable

import numpy as np

from voxtab.config import HISTORY_SAMPLES, LOOKAHEAD_SAMPLES, SAMPLE_RATE, SAMPLES_PER_TOKEN
from voxtab.encoder import block_samples
from voxtab.gpu.kernels import TOKENS_RING
from voxtab.model import Model
from voxtab.native.audio.file import AudioFile
from voxtab.transcriber import Transcriber

_READS = 16  # readbacks that are submitted before one is awaited


def beginning(audio: AudioFile, seconds: int) -> np.ndarray:
    """[samples] float32: its first seconds, or all of it if that is less."""
    blocks, samples = [np.zeros(0, np.float32)], 0
    for block in audio.samples():
        blocks.append(block)
        samples += len(block)
        if samples >= seconds * SAMPLE_RATE:
            break
    return np.concatenate(blocks)[: seconds * SAMPLE_RATE]


async def logits(model: Model, samples: np.ndarray, tokens: list[int]) -> AsyncIterator[np.ndarray]:
    """[vocabulary] f32 of each position that makes a token, given `tokens` [positions], the prompt included.

    `samples` [samples] f32 is the stream's audio; the schedule is the model's default.
    """
    schedule, device, decoder = model.config.schedule(), model.device, model.decoder
    Transcriber(model)  # starts the stream
    model.make_room(len(tokens))
    silence = HISTORY_SAMPLES + schedule.left_silence_tokens * SAMPLES_PER_TOKEN
    end = HISTORY_SAMPLES + len(tokens) * SAMPLES_PER_TOKEN + LOOKAHEAD_SAMPLES
    stream = np.zeros(end, np.float32)
    stream[silence : silence + len(samples)] = samples
    first_made, nothing = len(schedule.prompt) - 1, device.plan([])
    reads: deque[tuple[Awaitable, Awaitable[bytes]]] = deque()
    for position, token in enumerate(tokens):
        row = position % model.block_tokens
        block = model.block_tokens if len(tokens) - position + row >= model.block_tokens else 1
        if row % block == 0:
            start = position * SAMPLES_PER_TOKEN
            model.encode(position, position, block, stream[start : start + block_samples(block)].tobytes())
        device.write(decoder.tokens, 4 * (position % TOKENS_RING), np.uint32(token).tobytes())
        if position < first_made:
            model.decode(position, position, row % block)
        else:
            predicted = model.predict(position, position, row % block)
            reads.append((predicted, device.run(nothing, (decoder.logits, 0, 4 * model.config.vocabulary))))
        while reads and (len(reads) == _READS or position == len(tokens) - 1):
            token_read, logits_read = reads.popleft()
            await token_read
            yield np.frombuffer(await logits_read, np.float32)
    device.free(nothing)
