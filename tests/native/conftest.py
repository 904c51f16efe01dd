"""Models that share the tests' GPU."""

import pytest

from voxtab.native.gpu.device import NativeDevice


@pytest.fixture
def shared_device(device, monkeypatch):
    """Models that the test opens are opened on the tests' device, whose kernels are compiled already."""

    async def open(default_limits=False, gpu=0):
        return device

    monkeypatch.setattr(NativeDevice, "open", open)
    monkeypatch.setattr(device, "close", lambda: None)
