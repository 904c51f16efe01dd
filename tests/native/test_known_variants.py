"""Kernel variants that are remembered between runs, and what makes them forgotten."""

import json
import os
from dataclasses import replace

import pytest

from voxtab import resources
from voxtab.drafting import ROWS
from voxtab.gpu.device import GpuAdapter
from voxtab.gpu.variants import Variants
from voxtab.native import known_variants, models
from voxtab.native.files import FileSource
from voxtab.native.gpu.device import NativeDevice

GPU = GpuAdapter(vendor="V", device="D", description="driver 1", subgroup=32)


@pytest.fixture(autouse=True)
def path(tmp_path, monkeypatch):
    path = tmp_path / "cache" / "variants.json"
    monkeypatch.setattr(known_variants, "_path", lambda: path)
    return path


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "model.gguf"
    file.write_bytes(b"0123")
    return file


def case(file, gpu=GPU):
    return known_variants.case(gpu, FileSource([file]))


def test_what_is_remembered_is_found(file):
    assert known_variants.find(case(file), GPU) is None
    known_variants.remember(case(file), "linear=staged_packed")
    assert known_variants.find(case(file), GPU) == Variants.pinned(GPU, "linear=staged_packed")


def test_a_file_that_changed_is_another_case(file, tmp_path):
    before, status = case(file), file.stat()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert case(file) != before
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert case(file) == before
    copy = tmp_path / "copy"  # another file of the same size and time takes the place
    copy.write_bytes(b"4567")
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    copy.replace(file)
    assert case(file) != before
    file.write_bytes(b"01234")
    assert case(file) != before


def test_another_driver_or_other_shaders_are_another_case(file, tmp_path, monkeypatch):
    before = case(file)
    assert case(file, replace(GPU, description="driver 2")) != before
    (tmp_path / "a.wgsl").write_text("// changed")
    monkeypatch.setattr(resources, "folder", lambda *_: tmp_path)
    assert case(file) != before


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"CASE": 3}', b'{"CASE": "linear=nonsense"}']
)
def test_a_damaged_record_is_as_if_it_were_not_there(file, path, content):
    known = case(file)
    path.parent.mkdir()
    path.write_bytes(content.replace(b'"CASE"', json.dumps(known).encode()))
    assert known_variants.find(known, GPU) is None
    known_variants.remember(known, "linear=plain")
    assert known_variants.find(known, GPU) == Variants.pinned(GPU, "linear=plain")
    assert os.listdir(path.parent) == [path.name], "nothing is left aside"


def test_a_folder_that_cannot_be_written(file, path):
    path.parent.write_text("a file where the folder should be")
    known_variants.remember(case(file), "linear=plain")
    assert known_variants.find(case(file), GPU) is None


def test_only_the_latest_are_kept(path):
    for i in range(known_variants.MOST + 3):
        known_variants.remember(f"case {i}", "linear=plain")
    kept = json.loads(path.read_bytes())
    assert len(kept) == known_variants.MOST and "case 2" not in kept and f"case {known_variants.MOST + 2}" in kept


def test_a_model_is_tuned_once(run, monkeypatch, path):
    """The second time, its kernels are neither all compiled nor tried."""
    opened, compiled = NativeDevice._open, []

    def as_hardware(cls, *arguments):
        device = opened(*arguments)
        device.adapter = replace(device.adapter, is_software=False)
        compiled.append([])
        return device

    def compile(device, name, constants, original=NativeDevice._compile):
        compiled[-1].append(name)
        return original(device, name, constants)

    monkeypatch.setattr(NativeDevice, "_open", classmethod(as_hardware))
    monkeypatch.setattr(NativeDevice, "_compile", compile)
    models_opened = []
    for _ in range(2):
        model = run(models.open_model())
        models_opened.append((model.kernels.variants, model.tuned, model.warning))
        model.close()
    (first, tuned, _), (second, again, warning) = models_opened
    assert tuned and not again and warning is None and first == second
    assert [*first.pass_costs] == [*ROWS] and first.pass_2 >= 100
    (kept,) = json.loads(path.read_bytes()).values()
    assert kept == first.found
    assert len(compiled[1]) < len(compiled[0])
