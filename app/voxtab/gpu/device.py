"""The seam between the engine and a GPU: integers for handles, one plan replayed per step.

`native/gpu/device.py` implements it on wgpu-native, and `browser/gpu.py` on WebGPU through `web/worker/gpu.js`. Nothing
else knows a GPU library.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Protocol, overload

from voxtab.errors import DeviceError

# WebGPU's guaranteed limits: what every GPU has, and what the tests ask for.
DEFAULT_LIMITS = {
    "maxBufferSize": 256 << 20,
    "maxStorageBufferBindingSize": 128 << 20,
    "maxStorageBuffersPerShaderStage": 8,
    "maxComputeWorkgroupStorageSize": 16384,
    "maxComputeInvocationsPerWorkgroup": 256,
    "maxComputeWorkgroupSizeX": 256,
    "maxComputeWorkgroupsPerDimension": 65535,
}

Upload = tuple[int, int, int, int, int]  # source offset, nbytes, buffer, buffer offset, plan or 0
Range = tuple[int, int, int]  # buffer, offset, nbytes


@dataclass(frozen=True)
class GpuAdapter:
    """What WebGPU calls an adapter: which GPU this is, and what it can do beyond WebGPU's guarantees."""

    vendor: str = ""
    device: str = ""
    description: str = ""
    backend: str = ""  # what WebGPU runs on: "Vulkan", "Metal", ..., or "WebGPU" in a browser
    is_software: bool = False  # it computes on the processor, where barriers and workgroup memory are slow
    packed_dot: bool = True  # WGSL has packed dot products here
    subgroup: int = 1  # fewest invocations in a subgroup; 1: there are no subgroups
    largest_workgroup: int = DEFAULT_LIMITS["maxComputeInvocationsPerWorkgroup"]  # invocations
    workgroup_storage: int = DEFAULT_LIMITS["maxComputeWorkgroupStorageSize"]  # bytes

    @property
    def name(self) -> str:
        """The GPU's name for people."""
        return self.description or self.device or self.vendor

    def as_json(self) -> dict[str, str | bool | int]:
        return asdict(self)


class Source(Protocol):
    """Where a model's bytes come from, as one run over a file or its shards.

    The engine only hands it on to `Device.upload`. Each home has its own: natively `native.files.FileSource`, in the
    page the JavaScript class of `web/worker/weights/source.js`.
    """


class Device(Protocol):
    """A GPU that was opened. Every handle is a positive integer; `free` takes any of them."""

    adapter: GpuAdapter
    limits: dict[str, int]  # granted, by WebGPU's names: at least DEFAULT_LIMITS
    nbytes: int  # of all buffers that are not freed

    def buffer(self, nbytes: int, label: str = "", uniform: bool = False) -> int:
        """A zeroed buffer; its size is rounded up to a multiple of 16 bytes. DeviceError if there is no room for it.

        Shaders bind it as storage or, if `uniform`, also as a uniform. Mark only what shaders do bind as a uniform:
        between two dispatches, Chrome inserts a barrier for every way in which a written buffer may be read.
        """

    def free(self, handle: int) -> None: ...

    def write(self, buffer: int, offset: int, data) -> None:
        """Write any contiguous buffer of bytes. Small data only. Offset and size are multiples of 4.

        Happens in the order of `run`s.
        """

    def copy(self, source: int, target: int, nbytes: int) -> None:
        """The first `nbytes`, a multiple of 4, of one buffer to another, in the order of `run`s."""

    async def upload(self, source, table: list[Upload], progress: Callable[[int], None] | None = None) -> None:
        """Bring ranges of `source`, a Source of this home, to the GPU, in the table's order.

        A row is (source offset, nbytes, buffer, buffer offset, plan): the bytes go to the buffer, padded with zeros to
        a multiple of 4, and then the plan runs unless it is 0. `progress` gets the bytes so far.
        """

    async def pipeline(self, name: str, constants: dict[str, float]) -> int:
        """Compile `shaders/<name>.wgsl` with `constants` for its overrides; layout from its bindings."""

    def bind(self, pipeline: int, buffers: list[int]) -> int:
        """A bind group: whole buffers, in the order of the shader's bindings."""

    def plan(self, commands: list[int], ahead: bool = False) -> int:
        """Remember dispatches, flat: [pipeline, bind group, x, y, z, ...].

        With `ahead`, they are recorded for the next run while the GPU works on what the last `run` with `read` waits
        for. The next run, if it is of one time, then only submits them: for plans that someone waits for.
        """

    @overload
    def run(self, plan: int, read: None = None, times: int = 1) -> None: ...
    @overload
    def run(self, plan: int, read: Range, times: int = 1) -> Awaitable[bytes]: ...
    def run(self, plan: int, read: Range | None = None, times: int = 1) -> Awaitable[bytes] | None:
        """Submit a plan, `times` over: one encoder, one pass.

        With `read` (buffer, offset, nbytes) it returns those bytes as they are after the plan, to be awaited: at once,
        much later or never.
        """

    async def done(self) -> None:
        """Wait until everything submitted so far has run."""

    def close(self) -> None:
        """Give the GPU's memory back; nothing of this device can be used afterwards."""


_BINDING = re.compile(
    r"@group\(0\)\s*@binding\((\d+)\)\s*var<\s*(uniform|storage\s*,\s*read_write|storage\s*,\s*read|storage)\s*>"
)


def bindings(wgsl: str) -> list[str]:
    """Kinds of a shader's bindings in order: 'uniform', 'read-only-storage' or 'storage'."""
    kinds = {
        int(i): {"uniform": "uniform", "storage,read_write": "storage"}.get("".join(kind.split()), "read-only-storage")
        for i, kind in _BINDING.findall(wgsl)
    }
    assert sorted(kinds) == list(range(len(kinds))), "bindings are numbered without gaps"
    return [kinds[i] for i in range(len(kinds))]


def check_limits(granted: dict[str, int], gpu: str) -> None:
    """DeviceError if a GPU grants less than WebGPU guarantees (one in compatibility mode, say). `gpu` is its name."""
    for name, least in DEFAULT_LIMITS.items():
        if granted[name] < least:
            raise DeviceError(
                f"The GPU {gpu} grants {name} {granted[name]}, and {least} is needed: "
                "use another GPU or update its driver."
            )
