"""A coroutine in a thread of its own."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


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
