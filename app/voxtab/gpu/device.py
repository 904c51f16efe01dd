"""The seam between the engine and a GPU: integers for handles, one plan replayed per step.

`gpu/native.py` implements it on wgpu-py and `gpu/browser.py` on `web/gpu.js`. Nothing else knows a GPU library.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Protocol

from voxtab.errors import DeviceError

# WebGPU's guaranteed limits: what every adapter has, and what the tests ask for.
DEFAULT_LIMITS = {
    "maxBufferSize": 256 << 20,
    "maxStorageBufferBindingSize": 128 << 20,
    "maxStorageBuffersPerShaderStage": 8,
    "maxComputeWorkgroupStorageSize": 16384,
    "maxComputeInvocationsPerWorkgroup": 256,
    "maxComputeWorkgroupSizeX": 256,
    "maxComputeWorkgroupsPerDimension": 65535,
}

# Waiting for the queue about this often keeps a driver's staging memory small during an upload.
UPLOAD_BACKPRESSURE_BYTES = 64 << 20

Upload = tuple[int, int, int, int, int]


class Source(Protocol):
    """A model's bytes, as one run over a file or its shards."""

    size: int

    def read(self, offset: int, nbytes: int) -> bytes: ...


class Device(Protocol):
    """Ten verbs. Every handle is a positive integer; `free` takes any of them."""

    limits: dict[str, int]
    info: dict[
        str, str | bool | int
    ]  # of the adapter; `packed_dot`: whether WGSL has packed dot products here; `subgroup`: the
    # least number of invocations in a subgroup, or 1 without them; `largest_workgroup`;
    # `workgroup_storage` in bytes

    def buffer(self, nbytes: int, label: str = "", uniform: bool = False) -> int:
        """A zeroed buffer; its size is rounded up to a multiple of 16 bytes. Shaders have it as storage or, if `uniform`, as
        a uniform too: a browser's barriers between dispatches then care for constants as well, so that only few are."""

    def free(self, handle: int) -> None: ...

    def write(self, buffer: int, offset: int, data) -> None:
        """Small data only. Offset and size are multiples of 4. Happens in the order of `run`s."""

    def copy(self, source: int, target: int, nbytes: int) -> None:
        """The first `nbytes`, a multiple of 4, of one buffer to another, in the order of `run`s."""

    async def upload(self, source: Source, table: list[Upload], progress: Callable[[int], None] | None = None) -> None:
        """Bring ranges of `source` to the GPU, in the table's order.

        A row is (source offset, nbytes, buffer, buffer offset, plan): the bytes go to the buffer, padded with
        zeros to a multiple of 4, and then the plan runs unless it is 0. `progress` gets the bytes so far.
        """

    async def pipeline(self, name: str, constants: dict[str, float]) -> int:
        """Compile `shaders/<name>.wgsl` with `constants` for its overrides; layout from its bindings."""

    def bind(self, pipeline: int, buffers: list[int]) -> int:
        """A bind group: whole buffers, in the order of the shader's bindings."""

    def plan(self, commands: list[int]) -> int:
        """Remember dispatches, flat: [pipeline, bind group, x, y, z, ...]."""

    def run(self, plan: int, read: tuple[int, int, int] | None = None, times: int = 1) -> Awaitable[bytes] | None:
        """Submit a plan, `times` over: one encoder, one pass. With `read` (buffer, offset, nbytes) the bytes as they are
        after that; they may be awaited much later."""

    def close(self) -> None: ...


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


def check_limits(granted: dict[str, int], adapter: str) -> None:
    """DeviceError if an adapter is below WebGPU's guaranteed limits (a compatibility-mode one, say)."""
    for name, least in DEFAULT_LIMITS.items():
        if granted[name] < least:
            raise DeviceError(
                f"The GPU adapter {adapter} grants {name} {granted[name]}, and {least} is needed: "
                "use another adapter or update its driver."
            )
