"""Every (kernel, constants) that loading a model, or converting one, asks a GPU for.

No constant is listed by hand: the engine itself loads and records the published 4B model's shapes and the embedded
models' on a device that only takes notes, for each weight type, cache type, order of RoPE's rows and layout.
"""

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from synthetic import VOXTRAL_4B, directory
from voxtab import resources
from voxtab.config import ModelConfig
from voxtab.gpu.device import DEFAULT_LIMITS, GpuAdapter, bindings
from voxtab.gpu.variants import LINEAR, Variants
from voxtab.model import PROMPT_ROWS, Model
from voxtab.native import files
from voxtab.native.making.fitting import Fitter
from voxtab.weights import checkpoint
from voxtab.weights.directory import Directory

ROOT = Path(__file__).resolve().parents[2]

Variant = tuple[str, tuple[tuple[str, float], ...]]  # kernel, constants

# Types of a file's matrices, and of everything else: convolutions, gains, biases. Q4_0 is recorded in every layout,
# with both orders of rows and both caches. The others differ in how a weight is read, and in nothing else: one takes
# all four kinds of kernels, the rest take turns.
SOFTWARE, STAGED = Variants.of(GpuAdapter(is_software=True)), Variants()
PACKED, SUBGROUPS = Variants(linear="staged_packed"), Variants(linear="staged_subgroups", subgroup=32)
OTHER_TYPES = {
    ("F32", "F32"): (SOFTWARE, SUBGROUPS),
    ("F16", "F16"): (SOFTWARE, STAGED),
    ("BF16", "BF16"): (SOFTWARE, STAGED, SUBGROUPS),
    ("Q4_0", "F16"): (SOFTWARE, STAGED),
    ("Q4_1", "F16"): (SOFTWARE, PACKED),
    ("Q5_0", "F16"): (SOFTWARE, STAGED),
    ("Q5_1", "F16"): (SOFTWARE, SUBGROUPS),
    ("Q8_0", "F16"): (SOFTWARE, PACKED),
    ("Q4_K", "F16"): (SOFTWARE, SUBGROUPS),
    ("Q5_K", "F16"): (SOFTWARE, STAGED),
    ("Q6_K", "F16"): (SOFTWARE, STAGED, PACKED, SUBGROUPS),
}
# Above WebGPU's default limits: what most GPUs grant, lavapipe too.
LARGER = {"largest_workgroup": 1024, "workgroup_storage": 32768}


@cache
def _bindings(kernel: str) -> int:
    return len(bindings(resources.shader(kernel)))


class NotingDevice:
    """A `voxtab.gpu.device.Device` that computes nothing: handles are numbers, pipelines are noted.

    It refuses what a browser refuses at WebGPU's default limits and a native driver may accept.
    """

    limits = DEFAULT_LIMITS
    adapter = GpuAdapter(is_software=True)

    def __init__(self):
        self.nbytes = 0
        self.variants: set[Variant] = set()
        self._handles = itertools.count(1)
        self._kernels: dict[int, str] = {}

    def buffer(self, nbytes: int, label: str = "", uniform: bool = False) -> int:
        assert 0 < nbytes <= self.limits["maxStorageBufferBindingSize"], f"buffer '{label}' has {nbytes} bytes"
        return next(self._handles)

    def free(self, handle: int) -> None: ...

    def write(self, buffer: int, offset: int, data) -> None: ...

    def copy(self, source: int, target: int, nbytes: int) -> None: ...

    def run(self, plan: int, read=None, times: int = 1):
        return self._zeros(read[2]) if read else None

    async def _zeros(self, nbytes: int) -> bytes:
        return bytes(nbytes)

    async def upload(self, source, table, progress=None) -> None: ...

    async def done(self) -> None: ...

    def close(self) -> None: ...

    async def pipeline(self, name: str, constants: dict[str, float]) -> int:
        self.variants.add((name, tuple(sorted(constants.items()))))
        handle = next(self._handles)
        self._kernels[handle] = name
        return handle

    def bind(self, pipeline: int, buffers: list[int]) -> int:
        kernel = self._kernels[pipeline]
        assert len(buffers) == _bindings(kernel), f"{kernel} has {len(buffers)} buffers bound"
        return next(self._handles)

    def plan(self, commands: list[int], ahead: bool = False) -> int:
        for i in range(0, len(commands), 5):
            kernel, grid = self._kernels[commands[i]], commands[i + 2 : i + 5]
            assert 0 < min(grid) <= max(grid) <= self.limits["maxComputeWorkgroupsPerDimension"], (
                f"{kernel} has the grid {grid}"
            )
        return next(self._handles)


def embedded_configs() -> Iterator[ModelConfig]:
    for path in sorted((ROOT / "web/models").glob("*/*.gguf")):
        found = files.find_model(path)
        yield checkpoint.read_config(files.read_directory(found))


def _layouts() -> set[Variants]:
    return (
        {Variants.of(GpuAdapter(is_software=software)) for software in (False, True)}
        | {Variants(linear=linear, subgroup=32) for linear in LINEAR}
        | {Variants(drafts=drafts) for drafts in range(1, PROMPT_ROWS)}
    )


def _mixed(directory: Directory) -> Directory:
    """With wv of another type than wq and wk, as in Q4_K_M."""
    tensors = {
        name: replace(tensor, type="Q6_K") if ".wv.weight" in name else tensor
        for name, tensor in directory.tensors.items()
    }
    return replace(directory, tensors=tensors)


async def _record(layouts: set[Variants], others: dict[tuple[str, str], tuple[Variants, ...]]) -> set[Variant]:
    """What loading Q4_0 records in `layouts`, and loading other types in theirs."""
    device = NotingDevice()

    async def load(config: ModelConfig, directory: Directory, layout: Variants, cache_f16: bool = True) -> None:
        model = await Model.load(device, directory, config, None, None, name="", cache_f16=cache_f16, variants=layout)
        await model.compile_passes(drafts=True, alternatives=True)

    one_layer = replace(
        VOXTRAL_4B, encoder=replace(VOXTRAL_4B.encoder, layers=1), decoder=replace(VOXTRAL_4B.decoder, layers=1)
    )
    for config in (one_layer, *embedded_configs()):  # the other layers ask for nothing new
        for half_rope, cache_f16, layout in itertools.product((False, True), (False, True), layouts):
            await load(replace(config, half_rope=half_rope), directory(config), layout, cache_f16)
    for (matrices, rest), of_type in others.items():
        tensors = directory(one_layer, matrices, rest, narrow="Q8_0" if matrices.endswith("_K") else None)
        for layout in of_type:
            await load(one_layer, _mixed(tensors) if matrices == "Q4_K" else tensors, layout)
    await Fitter.open(device, 64)
    return device.variants


def all_variants() -> tuple[list[Variant], list[Variant]]:
    """Every kernel with all constants it is compiled with: at WebGPU's default limits; and beyond, at LARGER ones."""
    default = asyncio.run(_record(_layouts(), OTHER_TYPES))
    larger = asyncio.run(_record({Variants(linear=linear, subgroup=32, **LARGER) for linear in LINEAR}, {}))
    return sorted(default), sorted(larger - default)
