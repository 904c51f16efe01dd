"""A coroutine or a generator in a thread of its own."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Coroutine, Generator
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")
Item = TypeVar("Item")

READ_AHEAD = 16  # items that wait for who iterates


async def in_thread(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in the event loop of a new thread, so that what it computes does not hold the caller's loop.

    If the caller is cancelled, so is the coroutine, and its end is waited for.
    """
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task]] = Future()

    async def noted() -> Result:
        task = asyncio.current_task()
        assert task
        started.set_result((asyncio.get_running_loop(), task))
        return await coroutine

    running = asyncio.ensure_future(asyncio.to_thread(asyncio.run, noted()))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        loop, task = await asyncio.wrap_future(started)
        loop.call_soon_threadsafe(task.cancel)
        await asyncio.wait([running])
        raise


async def iterated_in_thread(items: Generator[Item]) -> AsyncGenerator[Item]:
    """The items of a generator, which runs in a thread of its own, READ_AHEAD of them ahead.

    The thread does not keep the process from ending: the generator may wait for something that never comes.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Queue = asyncio.Queue()
    room = threading.Semaphore(READ_AHEAD)
    stopped = threading.Event()

    def hand_over(item, end):
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(ready.put_nowait, (item, end))

    def work():
        end: BaseException = StopAsyncIteration()
        try:
            with contextlib.closing(items):
                for item in items:
                    room.acquire()
                    if stopped.is_set():
                        return
                    hand_over(item, None)
        except BaseException as error:
            end = error
        hand_over(None, end)

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            item, end = await ready.get()
            if isinstance(end, StopAsyncIteration):
                return
            if end:
                raise end
            yield item
            room.release()
    finally:
        stopped.set()
        room.release()
