"""One GPU for all tests: lavapipe where there is no other, opened with WebGPU's default limits."""

import asyncio

import pytest

from lab import Lab
from voxtab.gpu.device import GpuAdapter
from voxtab.gpu.kernels import Kernels
from voxtab.gpu.variants import Variants
from voxtab.native.gpu import NativeDevice

VARIANTS = {
    "software": Variants.of(GpuAdapter(is_software=True)),
    "packed": Variants(linear="staged_packed"),
    "subgroups": Variants(linear="staged_subgroups", subgroup=4),
    "gpu": Variants(attention_groups=500, attention_splits=50),
    "plain": Variants(linear="plain", attention=64),
    "tiles": Variants(tiles=1, linear="plain", attention_groups=1000, attention_splits=50),
}


@pytest.fixture(scope="session")
def run():
    """Runs a coroutine on the session's one event loop."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(scope="session")
def device(run):
    device = run(NativeDevice.open(default_limits=True))
    yield device
    device.close()


@pytest.fixture(scope="session")
def kernel_layouts(device):
    return {name: Kernels(device, variants) for name, variants in VARIANTS.items()}


@pytest.fixture(params=VARIANTS)
def lab(request, device, run, kernel_layouts):
    """A lab for each layout of kernels."""
    lab = Lab(device, kernel_layouts[request.param], run)
    yield lab
    lab.clear()
