"""A coroutine in a thread of its own: its result, its error, and its end when the caller is cancelled."""

import asyncio
import threading

import pytest

from voxtab.native import models
from voxtab.native.gpu.device import NativeDevice
from voxtab.native.threads import in_thread


def test_result_and_error(run):
    async def work():
        await asyncio.sleep(0)
        return threading.get_ident()

    async def broken():
        raise LookupError("here")

    assert run(in_thread(work())) != threading.get_ident()
    with pytest.raises(LookupError, match="here"):
        run(in_thread(broken()))


def test_a_cancelled_caller_cancels_it_and_waits_for_its_end(run):
    ends, begun = [], threading.Event()

    async def work():
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.01)
            ends.append("work")

    async def go():
        caller = asyncio.ensure_future(in_thread(work()))
        await asyncio.to_thread(begun.wait)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        ends.append("caller")

    run(go())
    assert ends == ["work", "caller"]


@pytest.mark.parametrize("stage", ["_compile", "_upload"])
def test_a_model_whose_opening_is_cancelled_gives_the_gpu_back(run, monkeypatch, stage):
    closed, begun, close = [], threading.Event(), NativeDevice.close
    original = getattr(NativeDevice, stage)
    monkeypatch.setattr(NativeDevice, "close", lambda device: closed.append(device) or close(device))
    monkeypatch.setattr(NativeDevice, stage, lambda *arguments: begun.set() or original(*arguments))

    async def go():
        opening = asyncio.ensure_future(models.open_model())
        await asyncio.to_thread(begun.wait)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    run(go())
    assert len(closed) == 1 and not closed[0]._close.alive
