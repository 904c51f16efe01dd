"""One GPU for all tests: lavapipe where there is no other, opened with WebGPU's default limits."""

import asyncio

import pytest

from lab import Lab
from voxtab.gpu.kernels import Kernels
from voxtab.gpu.variants import Variants
from voxtab.native.gpu import NativeDevice

VARIANTS = {
    "software": Variants.of({"adapter_type": "CPU"}),
    "packed": Variants(row="packed"),
    "subgroups": Variants(row="subgroups", subgroup=4),
    "gpu": Variants(attention_groups=500, attention_splits=50),
    "few": Variants(row="few", attention=64),
    "tiles": Variants(tiles=1, row="few", attention_groups=1000, attention_splits=50),
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
