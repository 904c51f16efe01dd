"""Runs the command in the process of the tests."""

import sys

import pytest

from voxtab.native import cli


@pytest.fixture
def voxtab(capfd, monkeypatch):
    """Runs the command; returns (status, stdout, stderr), both as the operating system sees them."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["voxtab", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code or 0, *capfd.readouterr()

    return run


@pytest.fixture
def no_gpu(monkeypatch):
    """What can be checked before the GPU opens is checked then: opening the GPU fails the test."""

    async def opened(*_, **__):
        raise AssertionError("the GPU was opened")

    monkeypatch.setattr("voxtab.native.gpu.device.NativeDevice.open", opened)
