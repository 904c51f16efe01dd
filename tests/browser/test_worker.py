"""The Worker's Python without a browser: requests that come at an awkward moment."""

import asyncio
import importlib
import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest


@pytest.fixture
def module(monkeypatch):
    """voxtab.browser.worker, with stand-ins for what only the page has."""
    ffi = MagicMock(JsException=type("JsException", (Exception,), {}))
    stand_ins = {"js": MagicMock(), "page": MagicMock(), "pyodide": MagicMock(ffi=ffi), "pyodide.ffi": ffi}
    for name, stand_in in stand_ins.items():
        monkeypatch.setitem(sys.modules, name, stand_in)
    before = {*sys.modules}
    yield importlib.import_module("voxtab.browser.worker")
    for name in {*sys.modules} - before:
        if name.startswith("voxtab.browser"):
            del sys.modules[name]


def test_a_request_to_open_that_comes_when_a_model_has_just_opened(module, monkeypatch, run):
    """Before the first request goes on, the second one finds the first one's model and closes it."""
    worker, closed = module.Worker(), []

    async def open_model(request, lost):
        if request.name == "first":
            worker.receive(SimpleNamespace(id=2, verb="open", name="second"))
        return SimpleNamespace(
            name=request.name, facts={}, model=SimpleNamespace(close=lambda: closed.append(request.name))
        )

    async def go():
        await worker.open(SimpleNamespace(name="first"))
        while worker.opened is None or worker.opened.name != "second":
            await asyncio.sleep(0)

    monkeypatch.setattr(module, "open_model", open_model)
    run(asyncio.wait_for(go(), 60))
    assert closed == ["first"]


@pytest.mark.parametrize("among", [True, False], ids=["among the files", "beside them"])
def test_a_tokenizer_that_is_chosen(module, run, among):
    """Pages of others give all files of a model as they are; the page itself sorts them."""
    locate_model = sys.modules["voxtab.browser.locate"].locate_model
    model, tekken = (SimpleNamespace(name=name, size=9) for name in ("m.gguf", "tekken.json"))
    request = SimpleNamespace(
        model=SimpleNamespace(to_py=lambda: {"files": [model, tekken][: 1 + among], "keep": False}),
        tokenizer=None if among else SimpleNamespace(to_py=lambda: {"file": tekken}),
    )
    located = run(locate_model(request))
    assert located.names == ["m.gguf"] and located.tokenizer["file"] is tekken
