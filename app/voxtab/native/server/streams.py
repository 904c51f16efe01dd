"""The one model and the queue of streams that want it. The transports, which translate, come here for both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import TYPE_CHECKING

from voxtab.errors import UserError
from voxtab.native.feeding import text_of
from voxtab.native.server.errors import ApiError
from voxtab.native.server.limits import CLOSING_SECONDS, Limits
from voxtab.native.server.metrics import Metrics
from voxtab.result import Result
from voxtab.transcriber import Transcriber

if TYPE_CHECKING:
    import numpy as np

    from voxtab.model import Model

_FIRST_GUESS_SECONDS = 10  # how long a stream takes, before one was seen


class Streams:
    """One stream at a time has the model. The others wait in the order in which they came, at most `limits.waiting`.

    `load` opens the model. It is called by `open`, or when the first stream comes, and again after it has failed.
    `delay_ms` is for streams whose client wishes none; None: the model's.
    """

    def __init__(
        self, load: Callable[[], Awaitable[Model]], limits: Limits, metrics: Metrics, delay_ms: int | None = None
    ):
        self.limits, self.delay_ms = limits, delay_ms
        self.model: Model | None = None
        self.closing = asyncio.Event()
        self._load = load
        self._metrics = metrics
        self._opening: asyncio.Task | None = None
        self.problem: str | None = None  # why the model did not open, as a sentence
        self._turns: list[Turn] = []  # the first has the model, or gets it once it is open
        self._usual_seconds: float = _FIRST_GUESS_SECONDS
        metrics.watch("voxtab_model_open", "1 if the model is open", lambda: self.model is not None)
        metrics.watch("voxtab_streams_running", "Streams that have the model: 0 or 1", lambda: self.running)
        metrics.watch("voxtab_streams_waiting", "Streams in the queue", lambda: self.waiting)

    @property
    def running(self) -> int:
        return int(self.model is not None and bool(self._turns))

    @property
    def waiting(self) -> int:
        return len(self._turns) - self.running

    @property
    def state(self) -> str:
        """ready, opening, failed, or closed: not opened yet."""
        if self.model:
            return "ready"
        return "opening" if self._opening else "failed" if self.problem else "closed"

    def open(self) -> asyncio.Task:
        """Open the model, unless that is done or under way. The task never fails; `state` tells."""
        if not self._opening:
            self.problem = None
            self._opening = asyncio.ensure_future(self._open())
        return self._opening

    async def _open(self) -> None:
        try:
            self.model = await self._load()
        except UserError as error:
            self.problem, self._opening = str(error), None
        except Exception:
            self.problem, self._opening = "The model could not be opened: see what the server wrote.", None
            raise
        finally:
            self._tell()

    @contextmanager
    def turn(self, kind: str) -> Iterator[Turn]:
        """A place in the queue, and then the model, until the end of the `with`. `kind` is for the metrics.

        Raises ApiError if the queue is full or the server is ending.
        """
        try:
            self._check_open()
            if len(self._turns) > self.limits.waiting:
                raise ApiError(
                    429,
                    f"The queue is full: {self.limits.waiting} streams wait already. Try again later.",
                    code="queue_full",
                    retry_after=self._retry_after(),
                )
        except ApiError:
            self._metrics.streams.labels(kind, "refused").inc()
            raise
        if not self.model:
            self.open()
        turn = Turn(self)
        self._turns.append(turn)
        outcome = "failed"
        try:
            yield turn
            outcome = "done"
        except (asyncio.CancelledError, GeneratorExit):
            outcome = "gone"
            raise
        except (ApiError, UserError):
            raise
        except Exception:
            # Perhaps the GPU is lost, which may happen at any time. The model is opened again for the next stream.
            self._forget_model()
            raise
        finally:
            self._turns.remove(turn)
            self._tell()
            self._count(turn, kind, outcome)

    async def close(self) -> None:
        """End what waits and what runs: files with an error, live streams with their text. Waits until that is done."""
        self.closing.set()
        self._tell()
        until = time.monotonic() + CLOSING_SECONDS
        while self._turns and time.monotonic() < until:
            await asyncio.sleep(0.02)
        if self._opening and not self.model:
            self._opening.cancel()
            await asyncio.wait([self._opening])

    def _forget_model(self) -> None:
        model, self.model, self._opening = self.model, None, None
        if model:
            with suppress(Exception):
                model.close()
        if len(self._turns) > 1:  # the next stream is there already
            self.open()

    def _check_open(self) -> None:
        if self.closing.is_set():
            raise ApiError(503, "The server is ending: ask again later.", code="server_ending", retry_after=10)

    def _retry_after(self) -> int:
        return min(600, max(1, round(self._usual_seconds * len(self._turns))))

    def _count(self, turn: Turn, kind: str, outcome: str) -> None:
        self._metrics.streams.labels(kind, outcome).inc()
        if turn.since is not None:
            seconds = time.monotonic() - turn.since
            self._metrics.busy_seconds.inc(seconds)
            self._usual_seconds += (seconds - self._usual_seconds) / 4
        if turn.transcriber:
            self._metrics.audio_seconds.inc(turn.transcriber.done_seconds)

    def _tell(self) -> None:
        for turn in self._turns:
            turn.news.set()

    # --- what a turn asks

    def place(self, turn: Turn) -> int:
        """How many streams come before it. Raises ApiError if it will never have the model."""
        self._check_open()
        if self.problem:
            raise ApiError(503, self.problem, code="model_unavailable")
        return self._turns.index(turn)

    def measure_wait(self, seconds: float) -> None:
        self._metrics.queue_seconds.observe(seconds)


class Turn:
    """One stream's turn: `places()` until it has come, then `text()`."""

    def __init__(self, streams: Streams):
        self.news = asyncio.Event()  # places, the model or the server's end have changed
        self.since: float | None = None  # when it got the model
        self.transcriber: Transcriber | None = None  # its last one
        self._streams = streams
        self._asked = time.monotonic()

    @property
    def is_wanted(self) -> bool:
        """Whether another stream waits for this one's end."""
        return self._streams.waiting > 0

    @property
    def is_ending(self) -> bool:
        """Whether the server is ending."""
        return self._streams.closing.is_set()

    @property
    def model(self) -> Model:
        assert self._streams.model
        return self._streams.model

    async def places(self) -> AsyncIterator[int]:
        """How many streams come before this one, now and whenever that changes. Ends when the turn has come.

        0: only the model is not open yet. Raises ApiError if it does not open, or if the server is ending.
        """
        told = None
        while (place := self._streams.place(self)) or not self._streams.model:
            if place != told:
                told = place
                yield place
            await self.news.wait()
            self.news.clear()
        self.since = time.monotonic()
        self._streams.measure_wait(self.since - self._asked)

    async def text(
        self, samples: AsyncIterator[np.ndarray], delay_ms: int | None = None, *, live: bool = False
    ) -> AsyncGenerator[str]:
        """Transcribe blocks [samples] float32 of 16 kHz mono: `feeding.text_of`."""
        self.transcriber = Transcriber(self.model, delay_ms or self._streams.delay_ms)
        async with aclosing(text_of(self.transcriber, samples, live=live)) as texts:
            async for text in texts:
                yield text

    def result(self, notes: tuple[str, ...] = ()) -> Result:
        """Of the text that was iterated over. `notes` are what is wrong with the audio."""
        assert self.transcriber and self.since is not None
        return Result.of(
            self.transcriber, model=self.model.name, load_s=0, run_s=time.monotonic() - self.since, notes=notes
        )
