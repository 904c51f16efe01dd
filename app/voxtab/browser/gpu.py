"""The seam on a browser's WebGPU, through `web/worker/gpu.js`."""

from array import array
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, overload

from js import Object
from pyodide.ffi import create_proxy, to_js

from voxtab import resources
from voxtab.errors import DeviceError
from voxtab.gpu.device import DEFAULT_LIMITS, Device, GpuAdapter, Range, Upload, bindings, check_limits


class BrowserDevice:
    """See `voxtab.gpu.device.Device`. A source for `upload` is a Source of web/worker/weights/source.js."""

    @classmethod
    async def open(cls, gpu, lost: Callable[[str], None]) -> "BrowserDevice":
        """`gpu` is the module `web/worker/gpu.js`.

        `lost` gets a message when the GPU goes away by itself, not by `close`. DeviceError if the GPU is below WebGPU's
        guaranteed limits.
        """
        return cls(await gpu.open(to_js(list(DEFAULT_LIMITS)), create_proxy(lost)))

    def __init__(self, gpu):
        self._gpu = gpu
        self.limits = {name: int(value) for name, value in gpu.limits.to_py().items()}
        self.adapter = GpuAdapter(**gpu.adapter.to_py())
        self.nbytes = 0
        self._sizes: dict[int, int] = {}
        # Looked up once: a method of a proxy costs more than the call.
        self._run, self._read, self._write = gpu.run, gpu.read, gpu.write
        try:
            check_limits(self.limits, self.adapter.name)
        except DeviceError:
            self.close()
            raise

    def buffer(self, nbytes: int, label: str = "", uniform: bool = False) -> int:
        handle = self._gpu.buffer(nbytes, label, uniform)
        self._sizes[handle] = nbytes
        self.nbytes += nbytes
        return handle

    def free(self, handle: int) -> None:
        self.nbytes -= self._sizes.pop(handle, 0)
        self._gpu.free(handle)

    def write(self, buffer: int, offset: int, data) -> None:
        self._write(buffer, offset, to_js(memoryview(data)))

    def copy(self, source: int, target: int, nbytes: int) -> None:
        self._gpu.copy(source, target, nbytes)

    async def upload(self, source, table: list[Upload], progress: Callable[[int], None] | None = None) -> None:
        flat = array("d", [value for row in table for value in row])  # offsets pass 2^32
        report = create_proxy(progress or (lambda nbytes: None))
        try:
            await self._gpu.upload(source, to_js(flat), report)
        finally:
            report.destroy()

    async def pipeline(self, name: str, constants: dict[str, float]) -> int:
        wgsl = resources.shader(name)
        return await self._gpu.pipeline(
            name, wgsl, to_js(bindings(wgsl)), to_js(constants, dict_converter=Object.fromEntries)
        )

    def bind(self, pipeline: int, buffers: list[int]) -> int:
        return self._gpu.bind(pipeline, to_js(buffers))

    def plan(self, commands: list[int], ahead: bool = False) -> int:
        return self._gpu.plan(to_js(array("I", commands)), ahead)

    @overload
    def run(self, plan: int, read: None = None, times: int = 1) -> None: ...
    @overload
    def run(self, plan: int, read: Range, times: int = 1) -> Awaitable[bytes]: ...
    def run(self, plan: int, read: Range | None = None, times: int = 1) -> Awaitable[bytes] | None:
        return _Read(self._read(plan, times, *read)) if read else self._run(plan, times)

    async def done(self) -> None:
        await self._gpu.done()

    def close(self) -> None:
        self._gpu.close()


if TYPE_CHECKING:
    _has_all_that_callers_use: type[Device] = BrowserDevice


class _Read:
    """Bytes on their way back; awaited late, or never if a stream is abandoned."""

    def __init__(self, promise):
        self._promise = promise

    def __await__(self) -> Generator[Any, Any, bytes]:
        return (yield from self._promise.__await__()).to_bytes()
