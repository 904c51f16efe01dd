"""One GPU for all tests: lavapipe if there is no other, opened with WebGPU's default limits."""

import asyncio
from dataclasses import asdict, dataclass, fields

import pytest

from lab import Lab
from voxtab import resources
from voxtab.gpu.device import GpuAdapter
from voxtab.gpu.kernels import Kernels
from voxtab.gpu.variants import Variants
from voxtab.native.gpu.device import NativeDevice

VARIANTS = {
    "software": Variants.of(GpuAdapter(is_software=True)),
    "packed": Variants(linear="staged_packed"),
    "subgroups": Variants(linear="staged_subgroups", subgroup=4),
    "gpu": Variants(attention_groups=500, attention_splits=50),
    "plain": Variants(linear="plain", attention=64),
    "tiles": Variants(tiles=1, linear="plain", attention_tiles=1, attention_groups=1000, attention_splits=50),
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With --dist loadfile (tools/test), a file's tests stay in one process, and the page's tests in half of them.

    So Chromium starts seldom, and what computes runs beside what waits.
    """
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _assign_work_unit(self, node):
            """The next file of the node's kind; if there is none, of the other kind."""
            has_page = self.nodes.index(node) % 2 == 0
            own = next((file for file in self.workqueue if file.startswith("tests/web/") == has_page), None)
            if own:
                self.workqueue.move_to_end(own, last=False)
            super()._assign_work_unit(node)

    return Scheduling(config, log)


# Files whose tests take longest: they begin first, so that no process ends long after the others.
FIRST = "tests/shaders/test_linear.py", "tests/test_drafts.py", "tests/tools/test_check_shaders.py"


def pytest_collection_modifyitems(config, items):
    if hasattr(config, "workerinput"):
        items.sort(
            key=lambda item: next((i for i, path in enumerate(FIRST) if item.nodeid.startswith(path)), len(FIRST))
        )


@pytest.fixture(scope="session")
def run():
    """Runs a coroutine on the session's one event loop."""
    with asyncio.Runner() as runner:
        yield runner.run


class SharedDevice(NativeDevice):
    """Shares compiled kernels between models: a further model then costs 3 MB instead of 55, and a fifth of the time.

    The engine opens a device for each model.
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._compiled = {}  # what a pipeline is made of -> its handle
        self._users = {}  # pipeline -> how many models use it

    async def pipeline(self, name, constants):
        key = resources.shader(name), *sorted(constants.items())  # the text, because some tests change shaders
        if key not in self._compiled:
            self._compiled[key] = await super().pipeline(name, constants)
        handle = self._compiled[key]
        self._users[handle] = self._users.get(handle, 0) + 1
        return handle

    def free(self, handle):
        if handle in self._users:
            self._users[handle] -= 1
            if self._users[handle]:
                return
            del self._users[handle]
            self._compiled = {key: pipeline for key, pipeline in self._compiled.items() if pipeline != handle}
        super().free(handle)


@pytest.fixture(scope="session")
def device(run):
    device = run(SharedDevice.open(default_limits=True))
    yield device
    device.close()


@pytest.fixture(scope="session")
def kernels_for(device):
    """The kernels of a layout, for the cases of one test. The next test frees them: lavapipe takes 3 MB for each."""
    kept = {}

    def get(test, layout):
        if (test, layout) not in kept:
            for kernels in kept.values():
                kernels.close()
            kept.clear()
            kept[test, layout] = Kernels(device, Watched(**asdict(VARIANTS[layout])))
        return kept[test, layout]

    return get


@dataclass(frozen=True)
class Watched(Variants):
    """Variants that note in `WATCHED` which of their fields are read."""

    def __getattribute__(self, name):
        WATCHED.add(name)
        return super().__getattribute__(name)


FIELDS = {field.name for field in fields(Variants)}
WATCHED: set[str] = set()


def layouts(*matter: str):
    """Marks a test whose kernels depend on these fields of Variants alone: one of the layouts that share them."""
    names = {tuple(getattr(layout, field) for field in matter): name for name, layout in reversed(VARIANTS.items())}
    params = [pytest.param((name, frozenset(matter)), id=name) for name in VARIANTS if name in names.values()]
    return pytest.mark.parametrize("lab", params, indirect=True)


@pytest.fixture
def lab_of(device, run):
    """A lab for a layout of the test's own."""
    labs = []

    def make(variants: Variants) -> Lab:
        labs.append(Lab(device, Kernels(device, variants), run))
        return labs[-1]

    yield make
    for lab in labs:
        lab.clear()
        lab.kernels.close()


@pytest.fixture(params=[pytest.param((name, frozenset(FIELDS)), id=name) for name in VARIANTS])
def lab(request, device, run, kernels_for):
    """A lab for each layout of kernels."""
    layout, matter = request.param
    WATCHED.clear()
    lab = Lab(device, kernels_for(request.function, layout), run)
    yield lab
    lab.clear()
    assert not WATCHED & FIELDS - matter - {"workgroup"}, "its kernels depend on more fields: name them in layouts()"
