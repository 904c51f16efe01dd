"""The seam on a browser's WebGPU, through `web/gpu.js`."""

from array import array
from collections.abc import Callable

from js import Object
from pyodide.ffi import create_proxy, to_js

from voxtab import resources
from voxtab.errors import DeviceError
from voxtab.gpu.device import DEFAULT_LIMITS, bindings, check_limits


class BrowserDevice:
    """See `voxtab.gpu.device.Device`. A source for `upload` has a `stream`: a Source of `web/source.js`."""

    @classmethod
    async def open(cls, gpu, lost: Callable[[str], None]) -> "BrowserDevice":
        """`gpu` is the module `web/gpu.js`; `lost` gets a message when the GPU goes away, not by `close`."""
        return cls(await gpu.open(to_js(list(DEFAULT_LIMITS)), create_proxy(lost)))

    def __init__(self, gpu):
        self._gpu = gpu
        self.limits = {name: int(value) for name, value in gpu.limits.to_py().items()}
        self.info = gpu.info.to_py()
        self.nbytes = 0  # of all buffers
        self._sizes: dict[int, int] = {}
        # Looked up once: a method of a proxy costs more than the call.
        self._run, self._read, self._write = gpu.run, gpu.read, gpu.write
        try:
            check_limits(self.limits, self.info["description"] or self.info["vendor"])
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

    async def upload(self, source, table, progress=None) -> None:
        flat = array("d", [value for row in table for value in row])  # offsets pass 2^32
        told = create_proxy(progress or (lambda done: None))
        try:
            await self._gpu.upload(source.stream, to_js(flat), told)
        finally:
            told.destroy()

    async def pipeline(self, name: str, constants: dict[str, float]) -> int:
        wgsl = resources.shader(name)
        return await self._gpu.pipeline(
            name, wgsl, to_js(bindings(wgsl)), to_js(constants, dict_converter=Object.fromEntries)
        )

    def bind(self, pipeline: int, buffers: list[int]) -> int:
        return self._gpu.bind(pipeline, to_js(buffers))

    def plan(self, commands: list[int]) -> int:
        return self._gpu.plan(to_js(array("I", commands)))

    def run(self, plan: int, read=None, times: int = 1):
        return _Bytes(self._read(plan, times, *read)) if read else self._run(plan, times)

    def close(self) -> None:
        self._gpu.close()


class _Bytes:
    """A readback that is under way: await it for its bytes, or leave it."""

    def __init__(self, promise):
        self._promise = promise

    def __await__(self):
        return (yield from self._promise.__await__()).to_bytes()
