"""The native seam: uploads at any offset, readbacks that lag, limits, and out of memory."""

import asyncio
import contextlib
import gc
import re
import threading
import time
from array import array
from dataclasses import replace

import pytest

from voxtab.errors import DeviceError, ModelError, UserError
from voxtab.gpu import device as seam
from voxtab.gpu.kernels import Kernels
from voxtab.gpu.variants import Variants
from voxtab.native import models
from voxtab.native.gpu import device as native
from voxtab.native.gpu import webgpu
from voxtab.native.gpu.device import NativeDevice


class Bytes:
    def __init__(self, data):
        self.data = data

    def read_into(self, offset, view):
        view[:] = self.data[offset : offset + len(view)]


def contents(device, run, buffer, nbytes):
    async def read():
        return await device.run(device.plan([]), (buffer, 0, nbytes))

    return run(read())


@pytest.mark.parametrize("offset,nbytes", [(0, 4), (1, 18), (3, 2), (17, 4097), (999, 1)])
def test_upload_of_any_range(device, run, offset, nbytes):
    """Source offsets may be any; writes are whole words, padded with zeros."""
    source, buffer, reported = Bytes(bytes(range(256)) * 20), device.buffer(5000), []
    device.write(buffer, 0, b"\xee" * 5000)
    run(device.upload(source, [(offset, nbytes, buffer, 8, 0)], reported.append))
    got = contents(device, run, buffer, 5000)
    assert got[:8] == b"\xee" * 8 and got[8 : 8 + nbytes] == source.data[offset : offset + nbytes]
    padding = -nbytes % 4
    assert got[8 + nbytes : 8 + nbytes + padding] == bytes(padding) and got[8 + nbytes + padding :] == b"\xee" * (
        4992 - nbytes - padding
    )
    assert reported == [nbytes]
    device.free(buffer)


def test_a_plan_runs_after_each_row_of_an_upload(device, run):
    """One raw buffer serves every chunk: what the plan made of the first is not touched by the second."""
    kernels = Kernels(device)
    raw, outs = device.buffer(256), [device.buffer(512) for _ in range(2)]
    plans = [run(kernels.plan([kernels.to_f32(raw, out, type="BF16", count=4, first=0)])) for out in outs]
    run(
        device.upload(
            Bytes(bytes.fromhex("803f 0040 4040 8040  a040 c040 e040 0041")),
            [(0, 8, raw, 0, plans[0]), (8, 8, raw, 0, plans[1])],
        )
    )
    assert [memoryview(contents(device, run, out, 16)).cast("f").tolist() for out in outs] == [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
    ]


def test_a_plan_that_is_recorded_ahead(run):
    """Every run sees what was written before it, however often it runs. Buffers may go while commands are recorded."""

    async def go():
        device = await NativeDevice.open(default_limits=True)
        kernels = Kernels(device)
        norm, ada, out = buffers = [device.buffer(16) for _ in range(3)]
        dispatch, read, results = kernels.delay_gain(*buffers, columns=4), (out, 0, 16), []
        await kernels.compile([dispatch])
        plan = kernels.plan_compiled([dispatch], ahead=True)
        for value, times in (1, 1), (2, 1), (3, 2), (4, 1), (5, 1):
            device.write(norm, 0, array("f", 4 * [value]))
            if value == 4:
                device.run(plan)
                device.write(norm, 0, bytes(16))
            results.append(memoryview(await device.run(plan, read, times=times)).cast("f")[0])
        device.free(plan)
        kernels.free([norm, ada])
        results.append(memoryview(await device.run(device.plan([]), read)).cast("f")[0])
        device.close()
        return results

    assert run(go()) == [1, 2, 3, 0, 5, 5]


def test_readbacks_may_be_awaited_late_and_in_any_order_or_never(device, run):
    async def go():
        buffer, empty, reads = device.buffer(16), device.plan([]), []
        for value in range(6):
            device.write(buffer, 0, bytes([value] * 16))
            reads.append(device.run(empty, (buffer, 0, 16)))
        reads.pop(3)
        return [(await read)[0] for read in reversed(reads)]

    assert run(go()) == [5, 4, 2, 1, 0]


def test_the_tests_device_has_the_default_limits(device):
    assert device.limits == seam.DEFAULT_LIMITS
    assert (device.adapter.largest_workgroup, device.adapter.workgroup_storage) == (256, 16384)


def test_an_adapter_below_the_limits_is_named():
    with pytest.raises(DeviceError, match="Old GPU.*maxBufferSize 1000"):
        seam.check_limits(seam.DEFAULT_LIMITS | {"maxBufferSize": 1000}, "Old GPU")


def test_a_model_that_does_not_open_gives_the_device_back(run, monkeypatch):
    closed, close = [], NativeDevice.close
    monkeypatch.setattr(NativeDevice, "close", lambda device: closed.append(device) or close(device))
    with pytest.raises(UserError, match="not a kernel variant"):
        run(models.load_model(models.read_model(), variants="nonsense"))
    assert len(closed) == 1


def test_out_of_memory(device, monkeypatch):
    create, before = webgpu.create_buffer, device.nbytes

    def full(*arguments):
        webgpu.on_error(None, webgpu.OUT_OF_MEMORY, webgpu.text("Not enough memory left."), None, None)
        return create(*arguments)

    monkeypatch.setattr(webgpu, "create_buffer", full)
    with pytest.raises(DeviceError, match="1,000,000 bytes \\(tok_embeddings\\)"):
        device.buffer(1_000_000, "tok_embeddings")
    assert device.nbytes == before


def test_a_fault_is_told_where_it_is_made(device, run):
    """Not at some later call."""
    with pytest.raises(RuntimeError, match="greater than the maximum"):
        device.buffer(1 << 40, "far too large")
    with pytest.raises(RuntimeError, match="nowhere"):
        run(device.pipeline("argmax", {"nowhere": 1}))
    buffer = device.buffer(16)
    device.free(buffer)


def test_a_fault_in_a_plan_is_told_by_every_later_read(run):
    """What runs after it may be wrong."""

    async def go():
        device = await NativeDevice.open(default_limits=True)
        try:
            buffer, empty = device.buffer(16), device.plan([])
            assert await device.run(empty, (buffer, 0, 16)) == bytes(16)
            device.copy(buffer, buffer, 8)  # within one buffer: WebGPU refuses it
            for _ in range(2):
                with pytest.raises(RuntimeError, match="same buffer"):
                    await device.run(empty, (buffer, 0, 16))
        finally:
            device.close()

    run(go())


def test_a_read_that_fails_says_so(device, run, monkeypatch):
    """And the ones after it come."""

    def full(*_):
        raise MemoryError

    buffer, empty = device.buffer(16), device.plan([])
    with monkeypatch.context() as patched:
        patched.setattr("ctypes.string_at", full)
        with pytest.raises(MemoryError):
            contents(device, run, buffer, 16)
    assert contents(device, run, buffer, 16) == bytes(16)
    for handle in (buffer, empty):
        device.free(handle)


def test_reads_of_a_closed_device_end(run):
    async def go():
        device = await NativeDevice.open(default_limits=True)
        buffer, empty = device.buffer(16), device.plan([])
        reads = [device.run(empty, (buffer, 0, 16)) for _ in range(100)]
        device.close()
        with contextlib.suppress(RuntimeError):
            for read in reads:
                assert await read == bytes(16)

    run(go())


def test_a_closed_device_refuses_everything(run):
    device = run(NativeDevice.open(default_limits=True))
    buffer, plan = device.buffer(16), device.plan([])
    device.close()
    device.close()
    with pytest.raises(RuntimeError, match="closed"):
        device.buffer(16)
    with pytest.raises(RuntimeError):
        run(device.upload(Bytes(bytes(16)), [(0, 16, buffer, 0, 0)]))
    with pytest.raises(RuntimeError):
        run(device.pipeline("argmax", {}))
    for call in (
        lambda: device.write(buffer, 0, bytes(4)),
        lambda: device.copy(buffer, buffer, 4),
        lambda: device.run(plan),
        lambda: device.run(plan, (buffer, 0, 4)),
    ):
        with pytest.raises(KeyError):
            call()


def test_a_device_that_nothing_refers_to_is_closed(run):
    device = run(NativeDevice.open(default_limits=True))
    closed, threads = device._close, device._queue._threads
    del device
    # The thread that opened it may be about to forget it, and then closes it.
    assert soon(lambda: gc.collect() >= 0 and not closed.alive and not any(thread.is_alive() for thread in threads))


def test_the_garbage_collector_may_close_a_device_in_its_own_thread(run):
    device = run(NativeDevice.open(default_limits=True))
    queue, close = device._queue, device._close
    queue._calls.put((close,))
    assert soon(lambda: not any(thread.is_alive() for thread in queue._threads))


def soon(condition) -> bool:
    """Whether it comes true before long."""
    for _ in range(3000):
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_a_cancelled_upload_stops_reading(device, run):
    reads, first = [], threading.Event()

    class Slow:
        def read_into(self, offset, view):
            reads.append(offset)
            first.set()
            time.sleep(0.01)

    async def go():
        buffer = device.buffer(16)
        uploading = asyncio.ensure_future(device.upload(Slow(), [(0, 16, buffer, 0, 0)] * 1000))
        await asyncio.to_thread(first.wait)
        uploading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await uploading
        count = len(reads)
        await device.done()
        device.free(buffer)
        assert len(reads) == count < 900

    run(go())


def test_an_upload_tells_what_its_source_says(device, run):
    class Broken:
        def read_into(self, offset, view):
            if offset == 40:
                raise ModelError("the file is gone.")

    buffer = device.buffer(16)
    with pytest.raises(ModelError, match="gone"):
        run(device.upload(Broken(), [(i, 16, buffer, 0, 0) for i in range(100)]))
    device.free(buffer)


def test_the_gpus_are_listed_and_one_is_chosen(run):
    found = native.adapters()
    run(NativeDevice.open(gpu=len(found) - 1)).close()
    for index in (len(found), -1):
        with pytest.raises(DeviceError, match=f"no GPU {index} .*0 is {re.escape(found[0].facts.name)}"):
            run(NativeDevice.open(gpu=index))


def test_the_strongest_gpu_is_first(monkeypatch):
    """By the adapter's kind: lavapipe comes after every other one, wherever the driver lists it."""
    kinds, _adapter = iter([webgpu.CPU, 2, 1]), native._adapter

    def adapter(lib, handle):
        _, found = _adapter(lib, handle)
        kind = next(kinds)
        return webgpu.STRONGEST_FIRST.index(kind), replace(found, facts=replace(found.facts, device=str(kind)))

    monkeypatch.setattr(native, "_adapter", adapter)
    three = webgpu.adapters()[:1] * 3
    monkeypatch.setattr(webgpu, "adapters", lambda: three)
    assert [found.facts.device for found in native.adapters()] == ["1", "2", str(webgpu.CPU)]


def test_bindings_are_read_from_the_shader():
    wgsl = """@group(0) @binding(0) var<uniform> a: u32;
    @group(0) @binding(2) var<storage, read_write> c: array<f32>;
    @group(0) @binding(1)
      var<storage,read> b: array<f32>;"""
    assert seam.bindings(wgsl) == ["uniform", "read-only-storage", "storage"]


def test_pipelines_are_compiled_once(device, run):
    kernels, asked = Kernels(device), []
    original = device.pipeline

    async def counting(name, constants):
        asked.append(name)
        await asyncio.sleep(0)
        return await original(name, constants)

    device.pipeline = counting
    try:
        buffers = [device.buffer(64) for _ in range(3)]
        dispatches = [kernels.delay_gain(*buffers, columns=n) for n in (4, 8, 4)]
        run(kernels.plan(dispatches))
        run(kernels.plan(dispatches))
    finally:
        del device.pipeline
    assert asked == ["delay_gain"]


@pytest.mark.parametrize("is_software", [False, True])
def test_a_software_gpu_compiles_one_kernel_at_a_time(device, run, monkeypatch, is_software):
    """A software GPU's compiler needs much memory, so it gets one kernel at a time. A real GPU's gets all at once."""
    kernels, under_way, most = Kernels(device), 0, 0

    async def pipeline(name, constants):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return 0

    monkeypatch.setattr(device, "adapter", replace(device.adapter, is_software=is_software))
    monkeypatch.setattr(device, "pipeline", pipeline)
    run(kernels.compile([kernels.rms_norm(1, 2, 3, rows=1, columns=64, epsilon=i / 100) for i in range(4)]))
    assert most == (1 if is_software else 4)


def test_bytes_of_buffers_are_counted(device):
    before = device.nbytes
    buffers = [device.buffer(nbytes) for nbytes in (1, 16, 17)]
    assert device.nbytes == before + 16 + 16 + 32
    device.free(device.plan([]))
    for buffer in buffers:
        device.free(buffer)
    assert device.nbytes == before


def test_recorders_of_other_variants_share_what_is_compiled(device, run, monkeypatch):
    kernels = Kernels(device, Variants(linear="plain"))
    other = kernels.with_variants(linear="staged", drafts=3)
    assert kernels.variants == Variants(linear="plain")
    assert other.variants == Variants(linear="staged", drafts=3)
    buffers = [device.buffer(64) for _ in range(3)]
    dispatch = kernels.delay_gain(*buffers, columns=4)
    assert other.delay_gain(*buffers, columns=4) == dispatch
    run(kernels.compile([dispatch]))
    device.free(other.plan_compiled([dispatch]))
    before, freed, free = device.nbytes, [], device.free
    monkeypatch.setattr(device, "free", lambda handle: freed.append(handle) or free(handle))
    kernels.free(buffers)
    assert freed[-3:] == buffers and len(freed) == 4, "and the bind group"
    kernels.close()
    assert device.nbytes < before
