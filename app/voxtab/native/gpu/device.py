"""The seam on wgpu-native (Vulkan, Metal, DirectX 12), called straight at its C library."""

import asyncio
import ctypes
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, overload

from voxtab import resources
from voxtab.errors import DeviceError
from voxtab.gpu.device import DEFAULT_LIMITS, Device, GpuAdapter, Range, Upload, bindings, check_limits
from voxtab.native.gpu import webgpu
from voxtab.native.gpu.queue import NOTHING, GpuQueue, Plan, running_future

_USAGE = webgpu.USAGE_STORAGE | webgpu.USAGE_COPY_SRC | webgpu.USAGE_COPY_DST
# What every GPU can do, where more is granted.
_DEFAULT_FACTS = {name: getattr(GpuAdapter, name) for name in ("largest_workgroup", "workgroup_storage")}
# An upload reads this many chunks ahead, straight into memory that the GPU copies from.
_STAGING_BUFFERS = 8
_READERS = 4  # threads: one copies from the page cache slower than a GPU from them


@dataclass(frozen=True)
class NativeAdapter:
    """A GPU of this machine, not opened yet."""

    handle: int
    facts: GpuAdapter
    grants: webgpu.Limits

    @property
    def limits(self) -> dict[str, int]:
        """What it can grant, by WebGPU's names."""
        return {name: getattr(self.grants, name) for name in DEFAULT_LIMITS}


@dataclass(frozen=True)
class _Buffer:
    handle: int
    nbytes: int


@dataclass(frozen=True)
class _Group:
    handle: int


@dataclass(frozen=True)
class _Pipeline:
    handle: int
    layout: int  # of its bind group


@dataclass
class _Shared:
    """What pipelines share. Several threads compile; `lock` is held only while something new is made."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    modules: dict[str, Future[int]] = field(default_factory=dict)  # by WGSL
    layouts: dict[tuple[str, ...], tuple[int, int]] = field(default_factory=dict)  # of a bind group, of a pipeline


class NativeDevice:
    """See `voxtab.gpu.device.Device`. Any thread may call it, but only one at a time.

    Nothing here waits for the GPU, a compiler or a disk in the caller's thread, except `close`.
    """

    @classmethod
    async def open(cls, default_limits: bool = False, gpu: int = 0) -> "NativeDevice":
        """The GPU of that index in `adapters`, the strongest is 0, with all it grants.

        With `default_limits`, just with WebGPU's guaranteed limits. Raises DeviceError if there is no such GPU, or none
        that is good enough.
        """
        return await asyncio.to_thread(cls._open, default_limits, gpu)

    @classmethod
    def _open(cls, default_limits: bool, gpu: int) -> "NativeDevice":
        found = adapters()
        if not 0 <= gpu < len(found):
            names = ", ".join(f"{i} is {adapter.facts.name}" for i, adapter in enumerate(found))
            raise DeviceError(f"There is no GPU {gpu} ({names}): choose one of these.")
        adapter = found[gpu]
        check_limits(adapter.limits, adapter.facts.device)
        asked, limits, facts = webgpu.Limits.from_buffer_copy(adapter.grants), adapter.limits, adapter.facts
        if default_limits:
            limits, facts = DEFAULT_LIMITS, replace(facts, **_DEFAULT_FACTS)
            for name, value in limits.items():
                setattr(asked, name, value)
        device = webgpu.create_device(adapter.handle, asked, [webgpu.SUBGROUP] if facts.subgroup > 1 else [])
        return cls(device, limits, facts)

    def __init__(self, device: int, limits: dict[str, int], adapter: GpuAdapter):
        self._lib, self._device = webgpu.library(), device
        self.limits, self.adapter, self.nbytes = dict(limits), adapter, 0
        self._objects: dict[int, Any] = {}  # _Buffer, _Group, _Pipeline or Plan
        self._shared = _Shared()
        self._compilers = ThreadPoolExecutor(os.cpu_count(), "voxtab-compile")
        queue = self._lib.wgpuDeviceGetQueue(device)
        self._queue = GpuQueue(self._lib, device, queue)
        # Without `close`, it is closed when nothing refers to it any more, or the interpreter ends.
        self._close = weakref.finalize(
            self, _close, self._lib, device, queue, self._queue, self._compilers, self._objects, self._shared
        )
        self._last = 0
        self._nothing = self.buffer(4, "nothing")

    def _handle(self, thing) -> int:
        self._last += 1
        self._objects[self._last] = thing
        return self._last

    def buffer(self, nbytes: int, label: str = "", uniform: bool = False) -> int:
        size = -(-nbytes // 16) * 16
        usage = _USAGE | webgpu.USAGE_UNIFORM if uniform else _USAGE
        handle = self._create_buffer(size, usage, label)
        if fault := webgpu.take_fault():
            self._lib.wgpuBufferRelease(handle)
            if not isinstance(fault, DeviceError):
                raise fault
            raise DeviceError(
                f"The GPU has no room for another {nbytes:,} bytes ({label}): close what else uses it, "
                "or use a smaller model."
            )
        self.nbytes += size
        return self._handle(_Buffer(handle, size))

    def _create_buffer(self, nbytes: int, usage: int, label: str, mapped: bool = False) -> int:
        if not self._close.alive:  # the library would use memory that was given back
            raise RuntimeError("the device was closed")
        return webgpu.create_buffer(self._lib, self._device, nbytes, usage, label, mapped)

    def free(self, handle: int) -> None:
        thing = self._objects.pop(handle)
        if isinstance(thing, _Buffer):
            self.nbytes -= thing.nbytes
        if isinstance(thing, Plan):
            self._queue.forget(thing)
        else:
            self._queue.release(thing.handle, *_RELEASED[type(thing)])

    def write(self, buffer: int, offset: int, data) -> None:
        self._queue.write(self._objects[buffer].handle, offset, bytes(data))

    def copy(self, source: int, target: int, nbytes: int) -> None:
        self._queue.copy(self._objects[source].handle, self._objects[target].handle, nbytes)

    async def upload(self, source, table: list[Upload], progress: Callable[[int], None] | None = None) -> None:
        loop, stopped = asyncio.get_running_loop(), threading.Event()

        def report(nbytes: int) -> None:
            if progress:
                loop.call_soon_threadsafe(progress, nbytes)

        uploading = loop.run_in_executor(None, self._upload, source, table, report, stopped)
        try:
            await asyncio.shield(uploading)
        except asyncio.CancelledError:
            stopped.set()
            await uploading  # its thread still uses the device
            raise

    def _upload(self, source, table: list[Upload], report: Callable[[int], Any], stopped: threading.Event) -> None:
        if not table:
            return
        size = -(-max(nbytes for _, nbytes, *_ in table) // 4) * 4
        count = min(_STAGING_BUFFERS, len(table))
        staging = [self._staging(size) for _ in range(count)]
        readers = ThreadPoolExecutor(min(_READERS, count), "voxtab-read")

        def read(address: Future[int], offset: int, nbytes: int) -> int:
            """Read a row to an address, once it is known. Returns its bytes with the zeros that fill the last word."""
            padded = -(-nbytes // 4) * 4
            view = memoryview((ctypes.c_char * padded).from_address(address.result())).cast("B")
            source.read_into(offset, view[:nbytes])
            view[nbytes:] = bytes(padded - nbytes)
            return padded

        try:
            reading = [readers.submit(read, address, *row[:2]) for (_, address), row in zip(staging, table)]
            total = 0
            for i, (_, nbytes, buffer, offset, plan) in enumerate(table):
                padded = reading[i % count].result()
                if stopped.is_set():
                    return
                handle = staging[i % count][0]
                free = self._queue.stage(
                    handle, self._objects[buffer].handle, offset, padded, self._objects[plan] if plan else NOTHING
                )
                staging[i % count] = handle, free
                if i + count < len(table):
                    reading[i % count] = readers.submit(read, free, *table[i + count][:2])
                total += nbytes
                report(total)
        finally:
            readers.shutdown(cancel_futures=True)
            for handle, free in staging:
                free.exception()  # waits until the GPU has copied
                self._queue.release(handle, *_RELEASED[_Buffer])
        for _, free in staging:
            free.result()

    def _staging(self, nbytes: int) -> tuple[int, Future]:
        """A mapped buffer to copy from, and its address."""
        usage, address = webgpu.USAGE_MAP_WRITE | webgpu.USAGE_COPY_SRC, running_future()
        handle = self._create_buffer(nbytes, usage, "staging", mapped=True)
        webgpu.raise_fault()
        address.set_result(self._lib.wgpuBufferGetMappedRange(handle, 0, nbytes))
        return handle, address

    async def pipeline(self, name: str, constants: dict[str, float]) -> int:
        loop = asyncio.get_running_loop()
        return self._handle(await loop.run_in_executor(self._compilers, self._compile, name, constants))

    def _compile(self, name: str, constants: dict[str, float]) -> _Pipeline:
        # naga knows subgroups without the line that Tint requires.
        wgsl = resources.shader(name).replace("enable subgroups;\n", "")
        group_layout, layout = self._layout(tuple(bindings(wgsl)))
        entries = (webgpu.ConstantEntry * len(constants))()
        for entry, (key, value) in zip(entries, constants.items()):
            entry.key, entry.value = webgpu.text(key), value
        compute = webgpu.ComputeState(None, self._module(name, wgsl), webgpu.text("main"), len(constants), entries)
        handle = self._lib.wgpuDeviceCreateComputePipeline(
            self._device, webgpu.ComputePipelineDescriptor(None, webgpu.text(name), layout, compute)
        )
        webgpu.raise_fault()
        return _Pipeline(handle, group_layout)

    def _module(self, name: str, wgsl: str) -> int:
        with self._shared.lock:
            is_new = wgsl not in self._shared.modules
            module = self._shared.modules.setdefault(wgsl, Future())
        if is_new:  # parse it without the lock; whoever needs it too waits
            chain = webgpu.ChainedStruct(None, webgpu.SHADER_SOURCE_WGSL)
            code = webgpu.ShaderSourceWGSL(chain, webgpu.text(wgsl))
            descriptor = webgpu.ShaderModuleDescriptor(ctypes.pointer(code.chain), webgpu.text(name))
            handle = self._lib.wgpuDeviceCreateShaderModule(self._device, descriptor)
            if fault := webgpu.take_fault():
                self._lib.wgpuShaderModuleRelease(handle)
                module.set_exception(fault)
            else:
                module.set_result(handle)
        return module.result()

    def _layout(self, kinds: tuple[str, ...]) -> tuple[int, int]:
        with self._shared.lock:
            if kinds not in self._shared.layouts:
                entries = (webgpu.BindGroupLayoutEntry * len(kinds))()
                for i, kind in enumerate(kinds):
                    entries[i].binding, entries[i].visibility = i, webgpu.COMPUTE
                    entries[i].buffer.type = webgpu.BINDING_TYPES[kind]
                group = ctypes.c_void_p(
                    self._lib.wgpuDeviceCreateBindGroupLayout(
                        self._device, webgpu.BindGroupLayoutDescriptor(None, webgpu.text(""), len(kinds), entries)
                    )
                )
                layout = self._lib.wgpuDeviceCreatePipelineLayout(
                    self._device, webgpu.PipelineLayoutDescriptor(None, webgpu.text(""), 1, ctypes.pointer(group), 0)
                )
                webgpu.raise_fault()
                self._shared.layouts[kinds] = group.value or 0, layout
            return self._shared.layouts[kinds]

    def bind(self, pipeline: int, buffers: list[int]) -> int:
        bound = [self._objects[buffer] for buffer in buffers]
        entries = (webgpu.BindGroupEntry * len(bound))()
        for i, (entry, buffer) in enumerate(zip(entries, bound)):
            entry.binding, entry.buffer, entry.size = i, buffer.handle, buffer.nbytes
        layout = self._objects[pipeline].layout
        handle = self._lib.wgpuDeviceCreateBindGroup(
            self._device, webgpu.BindGroupDescriptor(None, _NO_LABEL, layout, len(bound), entries)
        )
        webgpu.raise_fault()
        return self._handle(_Group(handle))

    def plan(self, commands: list[int], ahead: bool = False) -> int:
        known = self._objects
        dispatches = [
            (known[commands[i]].handle, known[commands[i + 1]].handle, *commands[i + 2 : i + 5])
            for i in range(0, len(commands), 5)
        ]
        return self._handle(Plan(dispatches, ahead))

    @overload
    def run(self, plan: int, read: None = None, times: int = 1) -> None: ...
    @overload
    def run(self, plan: int, read: Range, times: int = 1) -> Awaitable[bytes]: ...
    def run(self, plan: int, read: Range | None = None, times: int = 1) -> Awaitable[bytes] | None:
        if read is None:
            self._queue.run(self._objects[plan], times)
            return None
        buffer, offset, nbytes = read
        return _Read(self._queue.read(self._objects[plan], times, (self._objects[buffer].handle, offset, nbytes)))

    async def done(self) -> None:
        empty = self.plan([])
        await self.run(empty, (self._nothing, 0, 4))
        self.free(empty)

    def close(self) -> None:
        self._close()


if TYPE_CHECKING:
    _has_all_that_callers_use: type[Device] = NativeDevice

_NO_LABEL = webgpu.text("")
# How each kind of object is given back: by the library's functions of these names.
_RELEASED: dict[type, tuple[str, ...]] = {
    _Buffer: ("wgpuBufferDestroy", "wgpuBufferRelease"),
    _Group: ("wgpuBindGroupRelease",),
    _Pipeline: ("wgpuComputePipelineRelease",),
}


class _Read:
    """Bytes on their way back; awaited late, or never if a stream is abandoned."""

    def __init__(self, future: Future):
        self._future = future

    def __await__(self) -> Generator[Any, Any, bytes]:  # again, if a first await was cancelled
        return (yield from asyncio.wrap_future(self._future).__await__())


def _close(lib, device, queue, gpu_queue: GpuQueue, compilers, objects: dict, shared: _Shared) -> None:
    """Wait for what still uses a device, then give everything back."""
    if gpu_queue.is_own_thread():  # the garbage collector runs in any thread, and this one cannot wait for itself
        arguments = lib, device, queue, gpu_queue, compilers, objects, shared
        threading.Thread(target=_close, args=arguments).start()
        return
    compilers.shutdown(cancel_futures=True)
    gpu_queue.stop()
    for thing in objects.values():
        if isinstance(thing, Plan):
            if thing.recorded:
                lib.wgpuCommandBufferRelease(thing.recorded)
        else:
            for name in _RELEASED[type(thing)]:
                getattr(lib, name)(thing.handle)
    objects.clear()
    for module in shared.modules.values():
        if not module.exception():
            lib.wgpuShaderModuleRelease(module.result())
    for group, layout in shared.layouts.values():
        lib.wgpuPipelineLayoutRelease(layout)
        lib.wgpuBindGroupLayoutRelease(group)
    lib.wgpuQueueRelease(queue)
    lib.wgpuDeviceDestroy(device)
    lib.wgpuDeviceRelease(device)


# --- which GPUs there are


def adapters() -> list[NativeAdapter]:
    """This machine's GPUs, the strongest first, as far as their kind tells. DeviceError if there is none."""
    lib = webgpu.library()
    found = [_adapter(lib, handle) for handle in webgpu.adapters()]
    if not found:
        raise DeviceError(
            "No GPU was found: install a Vulkan driver (on Debian, mesa-vulkan-drivers gives a software one)."
        )
    return [adapter for _, adapter in sorted(found, key=lambda pair: pair[0])]


def _adapter(lib, handle: int) -> tuple[int, NativeAdapter]:
    """A GPU, after its place among those of other kinds."""
    info, granted = webgpu.AdapterInfo(), webgpu.Limits()
    lib.wgpuAdapterGetInfo(handle, info)
    lib.wgpuAdapterGetLimits(handle, granted)
    facts = GpuAdapter(
        vendor=str(info.vendor),
        device=str(info.device),
        description=str(info.description),
        backend=webgpu.BACKENDS.get(info.backendType, ""),
        is_software=info.adapterType == webgpu.CPU,
        packed_dot=True,
        subgroup=_subgroup(info) if lib.wgpuAdapterHasFeature(handle, webgpu.SUBGROUP) else 1,
        largest_workgroup=min(granted.maxComputeInvocationsPerWorkgroup, granted.maxComputeWorkgroupSizeX),
        workgroup_storage=granted.maxComputeWorkgroupStorageSize,
    )
    place = webgpu.STRONGEST_FIRST.index(info.adapterType)
    lib.wgpuAdapterInfoFreeMembers(info)
    return place, NativeAdapter(handle, facts, granted)


def _subgroup(info: webgpu.AdapterInfo) -> int:
    """The fewest invocations of a subgroup. wgpu-native 29 does not say; every GPU has 4, and NVIDIA's have 32."""
    return info.subgroupMinSize or (32 if str(info.vendor) == "NVIDIA" else 4)
