"""The seam on wgpu-py (Vulkan, Metal, DirectX 12)."""

import importlib
import re
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, overload

from voxtab import resources
from voxtab.errors import DeviceError
from voxtab.gpu.device import (
    DEFAULT_LIMITS,
    UPLOAD_BACKPRESSURE_BYTES,
    Device,
    GpuAdapter,
    Range,
    Upload,
    bindings,
    check_limits,
)

_USAGE = 128 | 4 | 8  # STORAGE | COPY_SRC | COPY_DST
_UNIFORM = 64
_READBACK_USAGE = 1 | 8  # MAP_READ | COPY_DST
_NVIDIA_SUBGROUP = 32


def _kebab(limit: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "-" + letter[0].lower(), limit)


class NativeDevice:
    """See `voxtab.gpu.device.Device`."""

    @classmethod
    async def open(cls, library: str = "wgpu", default_limits: bool = False) -> "NativeDevice":
        """The strongest GPU, with all it grants or, with `default_limits`, just WebGPU's guaranteed limits.

        `library` is a package with wgpu-py's interface. Raises DeviceError if there is no usable GPU.
        """
        wgpu = importlib.import_module(library)
        try:
            adapter = await wgpu.gpu.request_adapter_async(power_preference="high-performance")
        except RuntimeError as error:
            raise DeviceError(
                "No GPU was found: install a Vulkan driver (on Debian, mesa-vulkan-drivers gives a software one)."
            ) from error
        granted = {name: int(adapter.limits[_kebab(name)]) for name in DEFAULT_LIMITS}
        check_limits(granted, adapter.info["device"])
        limits = DEFAULT_LIMITS if default_limits else granted
        features = ["subgroup"] if "subgroup" in adapter.features else []
        device = await adapter.request_device_async(
            required_features=features, required_limits={_kebab(name): value for name, value in limits.items()}
        )
        return cls(wgpu, device, limits, _facts(adapter.info, limits, bool(features)))

    def __init__(self, wgpu, device, limits: dict[str, int], adapter: GpuAdapter):
        self._wgpu, self._device, self._queue = wgpu, device, device.queue
        self.limits, self.adapter, self.nbytes = dict(limits), adapter, 0
        self._objects: dict[int, Any] = {}  # wgpu-py's buffers, pipelines and bind groups, and plans
        self._layouts: dict[int, Any] = {}
        self._readbacks: list = []
        self._last = 0
        self._nothing = self.buffer(4, "nothing")

    def _handle(self, thing) -> int:
        self._last += 1
        self._objects[self._last] = thing
        return self._last

    def buffer(self, nbytes: int, label: str = "", uniform: bool = False) -> int:
        try:
            usage = _USAGE | _UNIFORM if uniform else _USAGE
            buffer = self._device.create_buffer(size=-(-nbytes // 16) * 16, usage=usage, label=label)
        except self._wgpu.GPUOutOfMemoryError:
            raise DeviceError(
                f"The GPU has no room for another {nbytes:,} bytes ({label}): close what else uses it, "
                "or use a smaller model."
            ) from None
        self.nbytes += buffer.size
        return self._handle(buffer)

    def free(self, handle: int) -> None:
        thing = self._objects.pop(handle)
        self._layouts.pop(handle, None)
        if hasattr(thing, "destroy"):  # a buffer
            self.nbytes -= thing.size
            thing.destroy()

    def write(self, buffer: int, offset: int, data) -> None:
        self._queue.write_buffer(self._objects[buffer], offset, data)

    def copy(self, source: int, target: int, nbytes: int) -> None:
        encoder = self._device.create_command_encoder()
        encoder.copy_buffer_to_buffer(self._objects[source], 0, self._objects[target], 0, nbytes)
        self._queue.submit([encoder.finish()])

    async def upload(self, source, table: list[Upload], progress: Callable[[int], None] | None = None) -> None:
        total = waited = 0
        for offset, nbytes, buffer, buffer_offset, plan in table:
            data = source.read(offset, nbytes)
            self.write(buffer, buffer_offset, data + bytes(-nbytes % 4))
            if plan:
                self.run(plan)
            total += nbytes
            if total - waited >= UPLOAD_BACKPRESSURE_BYTES:
                await self.done()
                waited = total
            if progress:
                progress(total)
        await self.done()

    async def pipeline(self, name: str, constants: dict[str, float]) -> int:
        # naga knows subgroups without the line that Tint requires.
        wgsl = resources.shader(name).replace("enable subgroups;\n", "")
        layout = self._device.create_bind_group_layout(
            entries=[{"binding": i, "visibility": 4, "buffer": {"type": kind}} for i, kind in enumerate(bindings(wgsl))]
        )
        handle = self._handle(
            await self._device.create_compute_pipeline_async(
                label=name,
                layout=self._device.create_pipeline_layout(bind_group_layouts=[layout]),
                compute={
                    "module": self._device.create_shader_module(label=name, code=wgsl),
                    "entry_point": "main",
                    "constants": constants,
                },
            )
        )
        self._layouts[handle] = layout
        return handle

    def bind(self, pipeline: int, buffers: list[int]) -> int:
        return self._handle(
            self._device.create_bind_group(
                layout=self._layouts[pipeline],
                entries=[
                    {
                        "binding": i,
                        "resource": {"buffer": self._objects[buffer], "offset": 0, "size": self._objects[buffer].size},
                    }
                    for i, buffer in enumerate(buffers)
                ],
            )
        )

    def plan(self, commands: list[int]) -> int:
        known = self._objects
        return self._handle(
            [(known[commands[i]], known[commands[i + 1]], *commands[i + 2 : i + 5]) for i in range(0, len(commands), 5)]
        )

    @overload
    def run(self, plan: int, read: None = None, times: int = 1) -> None: ...
    @overload
    def run(self, plan: int, read: Range, times: int = 1) -> Awaitable[bytes]: ...
    def run(self, plan: int, read: Range | None = None, times: int = 1) -> Awaitable[bytes] | None:
        encoder = self._device.create_command_encoder()
        compute = encoder.begin_compute_pass()
        last = None
        for pipeline, group, x, y, z in self._objects[plan] * times:
            if pipeline is not last:
                compute.set_pipeline(pipeline)
                last = pipeline
            compute.set_bind_group(0, group)
            compute.dispatch_workgroups(x, y, z)
        compute.end()
        if read is None:
            self._queue.submit([encoder.finish()])
            return None
        buffer, offset, nbytes = read
        readback = self._readback(nbytes)
        encoder.copy_buffer_to_buffer(self._objects[buffer], offset, readback, 0, nbytes)
        self._queue.submit([encoder.finish()])
        return _Read(self._readbacks, readback, readback.map_async("READ", 0, nbytes), nbytes)

    async def done(self) -> None:
        # By a small readback: wgpu-py 0.32's on_submitted_work_done_async raises TypeError.
        empty = self._handle([])
        await self.run(empty, (self._nothing, 0, 4))
        self.free(empty)

    def _readback(self, nbytes: int):
        for i, buffer in enumerate(self._readbacks):
            if buffer.size >= nbytes:
                return self._readbacks.pop(i)
        return self._device.create_buffer(size=max(nbytes, 4096), usage=_READBACK_USAGE, label="readback")

    def close(self) -> None:
        self._objects.clear()
        self._readbacks.clear()
        self._device.destroy()


if TYPE_CHECKING:
    _has_all_that_callers_use: type[Device] = NativeDevice


class _Read:
    """Bytes on their way back; awaited late, or never if a stream is abandoned."""

    def __init__(self, pool: list, readback, promise, nbytes: int):
        self._pool, self._readback, self._promise, self._nbytes = pool, readback, promise, nbytes

    def __await__(self) -> Generator[Any, Any, bytes]:  # again, if a first await was cancelled
        yield from self._promise.__await__()
        data = bytes(self._readback.read_mapped(0, self._nbytes))
        self._readback.unmap()
        self._pool.append(self._readback)
        return data


def _facts(info: dict[str, Any], limits: dict[str, int], subgroups: bool) -> GpuAdapter:
    subgroup = 1
    if subgroups:
        # wgpu-py 0.32 spells `subgroup_min_size` this way, and gives 4 for NVIDIA, where it is 32.
        subgroup = _NVIDIA_SUBGROUP if info["vendor"] == "NVIDIA" else int(info["stackgroup_min_size"])
    return GpuAdapter(
        vendor=str(info["vendor"]),
        device=str(info["device"]),
        description=str(info["description"]),
        backend=str(info["backend_type"]),
        is_software=info["adapter_type"] == "CPU",
        packed_dot=True,
        subgroup=subgroup,
        largest_workgroup=min(limits["maxComputeInvocationsPerWorkgroup"], limits["maxComputeWorkgroupSizeX"]),
        workgroup_storage=limits["maxComputeWorkgroupStorageSize"],
    )
