"""What goes to a GPU, in order, from a thread of its own; and what comes back, by another.

So the caller's event loop waits neither for the recording of a plan (2 us a dispatch, thousands in a file's block) nor
for the GPU. What is submitted runs in the order of the calls.
"""

import ctypes
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from voxtab.gpu.device import Range
from voxtab.native.gpu import webgpu

_READBACK_BYTES = 4096  # the least that a readback buffer has
_POLL_SECONDS = 0.05

_mappings: dict[int, "_Mapping"] = {}  # that the library may still call back for
_numbers = itertools.count(1)


@dataclass(eq=False)
class Plan:
    """Dispatches to run, often more than once."""

    dispatches: list[tuple[int, int, int, int, int]]  # pipeline, bind group, x, y, z
    ahead: bool = False  # record them for the next run while a read is under way
    recorded: int = 0  # commands for that run, or 0


NOTHING = Plan([])


class _Mapping:
    """A buffer that is about to be mapped."""

    def __init__(self, finish: Callable[[], Any]):
        self.finish, self.future = finish, running_future()
        self.called, self.is_mapped = threading.Event(), False


@webgpu.OnMapped
def _on_mapped(status, _message, number, _):
    mapping = _mappings.pop(number)
    mapping.is_mapped = status == webgpu.SUCCESS
    mapping.called.set()


def running_future() -> Future:
    """A future that its waiters cannot cancel: the GPU goes on, and others may wait too."""
    future: Future = Future()
    future.set_running_or_notify_cancel()
    return future


class GpuQueue:
    """One device's queue. Handles are the library's; `release` them here, behind all that uses them."""

    def __init__(self, lib: ctypes.CDLL, device: int, queue: int):
        self._lib, self._device, self._queue = lib, device, queue
        self._calls: SimpleQueue[tuple] = SimpleQueue()
        self._submitted: SimpleQueue[tuple[int, _Mapping] | None] = SimpleQueue()
        self._readbacks: list[tuple[int, int]] = []  # buffers that are free, and their bytes
        self._unrecorded: set[Plan] = set()  # plans to record ahead: they ran
        self._fault: Exception | None = None  # the first; what comes back afterwards is not to be trusted
        self._stopped = False
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._submit_all, self._wait_all)]
        for thread in self._threads:
            thread.start()

    def write(self, buffer: int, offset: int, data: bytes) -> None:
        self._calls.put((self._write, buffer, offset, data))

    def copy(self, source: int, target: int, nbytes: int) -> None:
        self._calls.put((self._run, NOTHING, 1, (source, 0, target, 0, nbytes), None))

    def run(self, plan: Plan, times: int) -> None:
        self._calls.put((self._run, plan, times, None, None))

    def read(self, plan: Plan, times: int, read: Range) -> Future:
        """Run, and give the bytes that are then in (buffer, offset, nbytes)."""
        mapping = _Mapping(bytes)
        self._calls.put((self._read, plan, times, read, mapping))
        self._calls.put((self._record_ahead,))
        return mapping.future

    def stage(self, staging: int, buffer: int, offset: int, nbytes: int, plan: Plan) -> Future:
        """Unmap a staging buffer, copy its first `nbytes` to `offset` of a buffer, and run. Gives its new address."""
        mapping = _Mapping(lambda: self._lib.wgpuBufferGetMappedRange(staging, 0, nbytes))
        self._calls.put((self._stage, staging, (staging, 0, buffer, offset, nbytes), plan, mapping))
        return mapping.future

    def forget(self, plan: Plan) -> None:
        """The plan runs no more."""
        self._calls.put((self._forget, plan))

    def release(self, handle: int, *names: str) -> None:
        """Give an object back by the library's functions of these names."""
        for name in names:
            self._calls.put((getattr(self._lib, name), handle))

    def is_own_thread(self) -> bool:
        return threading.current_thread() in self._threads

    def stop(self) -> None:
        """End both threads. What is not submitted yet never runs; what comes back is waited for."""
        self._stopped = True
        self._calls.put(())
        for thread in self._threads:
            thread.join()
        for readback, _ in self._readbacks:
            self._lib.wgpuBufferRelease(readback)

    # --- in the thread that submits

    def _submit_all(self) -> None:
        while call := self._calls.get():
            function, *arguments = call
            try:
                if self._stopped:
                    raise RuntimeError("the device was closed")
                function(*arguments)
                self._fault = self._fault or webgpu.take_fault()
            except Exception as error:
                self._fault = self._fault or error
                for mapping in arguments:
                    if isinstance(mapping, _Mapping):  # nobody waits for what does not come
                        mapping.future.set_exception(error)
        self._submitted.put(None)

    def _write(self, buffer: int, offset: int, data: bytes) -> None:
        self._lib.wgpuQueueWriteBuffer(self._queue, buffer, offset, data, len(data))

    def _run(self, plan: Plan, times: int, before: tuple | None, after: tuple | None) -> int:
        """Copy, run, copy: (source, offset, target, offset, nbytes). One submit: its index."""
        if plan.recorded and times == 1 and not before:
            commands, plan.recorded = [plan.recorded], 0
            if after:
                commands.append(self._record(NOTHING, after=after))
        else:
            commands = [self._record(plan, times, before, after)]
        if plan.ahead and times == 1 and not plan.recorded:
            self._unrecorded.add(plan)
        index = self._lib.wgpuQueueSubmitForIndex(
            self._queue, len(commands), (ctypes.c_void_p * len(commands))(*commands)
        )
        for each in commands:
            self._lib.wgpuCommandBufferRelease(each)
        return index

    def _record(self, plan: Plan, times: int = 1, before: tuple | None = None, after: tuple | None = None) -> int:
        """Commands that copy, run and copy: one encoder, one pass."""
        lib = self._lib
        encoder = lib.wgpuDeviceCreateCommandEncoder(self._device, None)
        if before:
            lib.wgpuCommandEncoderCopyBufferToBuffer(encoder, *before)
        if plan.dispatches:
            self._record_pass(encoder, plan, times)
        if after:
            lib.wgpuCommandEncoderCopyBufferToBuffer(encoder, *after)
        commands = lib.wgpuCommandEncoderFinish(encoder, None)
        lib.wgpuCommandEncoderRelease(encoder)
        if fault := webgpu.take_fault():  # the library would end the process if it got commands with one
            lib.wgpuCommandBufferRelease(commands)
            raise fault
        return commands

    def _record_ahead(self) -> None:
        while self._unrecorded:
            plan = self._unrecorded.pop()
            plan.recorded = self._record(plan)

    def _forget(self, plan: Plan) -> None:
        self._unrecorded.discard(plan)
        if plan.recorded:
            self._lib.wgpuCommandBufferRelease(plan.recorded)
            plan.recorded = 0

    def _record_pass(self, encoder: int, plan: Plan, times: int) -> None:
        lib = self._lib
        compute = lib.wgpuCommandEncoderBeginComputePass(encoder, None)
        set_pipeline, set_group = lib.wgpuComputePassEncoderSetPipeline, lib.wgpuComputePassEncoderSetBindGroup
        dispatch, last = lib.wgpuComputePassEncoderDispatchWorkgroups, None
        for _ in range(times):
            for pipeline, group, x, y, z in plan.dispatches:
                if pipeline != last:
                    set_pipeline(compute, pipeline)
                    last = pipeline
                set_group(compute, 0, group, 0, None)
                dispatch(compute, x, y, z)
        lib.wgpuComputePassEncoderEnd(compute)
        lib.wgpuComputePassEncoderRelease(compute)

    def _read(self, plan: Plan, times: int, read: Range, mapping: _Mapping) -> None:
        buffer, offset, nbytes = read
        readback, size = self._readback(nbytes)

        def finish() -> bytes:
            data = ctypes.string_at(self._lib.wgpuBufferGetConstMappedRange(readback, 0, nbytes), nbytes)
            self._lib.wgpuBufferUnmap(readback)
            self._readbacks.append((readback, size))
            return data

        mapping.finish = finish
        index = self._run(plan, times, None, (buffer, offset, readback, 0, nbytes))
        self._map(readback, webgpu.MAP_READ, nbytes, index, mapping)

    def _stage(self, staging: int, copied: tuple, plan: Plan, mapping: _Mapping) -> None:
        self._lib.wgpuBufferUnmap(staging)
        index = self._run(plan, 1, copied, None)
        self._map(staging, webgpu.MAP_WRITE, copied[-1], index, mapping)

    def _map(self, buffer: int, mode: int, nbytes: int, index: int, mapping: _Mapping) -> None:
        number = next(_numbers)
        _mappings[number] = mapping
        callback = webgpu.BufferMapCallbackInfo(None, webgpu.ALLOW_PROCESS_EVENTS, _on_mapped, number, None)
        self._lib.wgpuBufferMapAsync(buffer, mode, 0, nbytes, callback)
        self._submitted.put((index, mapping))

    def _readback(self, nbytes: int) -> tuple[int, int]:
        for i, (_, size) in enumerate(self._readbacks):
            if size >= nbytes:
                return self._readbacks.pop(i)
        size = max(nbytes, _READBACK_BYTES)
        usage = webgpu.USAGE_MAP_READ | webgpu.USAGE_COPY_DST
        return webgpu.create_buffer(self._lib, self._device, size, usage, "readback"), size

    # --- in the thread that waits

    def _wait_all(self) -> None:
        while waited := self._submitted.get():
            index, mapping = waited
            self._lib.wgpuDevicePoll(self._device, True, ctypes.c_uint64(index))
            # The other thread's submit may be about to call back, instead of this poll.
            while not mapping.called.wait(_POLL_SECONDS):
                self._lib.wgpuDevicePoll(self._device, True, None)
            if not mapping.is_mapped:
                self._fault = self._fault or webgpu.take_fault() or RuntimeError("a buffer could not be mapped")
            try:
                if self._fault:
                    raise self._fault
                mapping.future.set_result(mapping.finish())
            except Exception as error:
                mapping.future.set_exception(error)
