"""The Worker alone: the same tokens as the native engine, from wherever a model comes."""

import json

import pytest

from web.conftest import ORACLES


@pytest.fixture(scope="module")
def bare(browser, server):
    """One page with a booted Worker; a case opens its model in it."""
    page = browser.new_page()
    page.on("console", lambda message: print("console:", message.text))
    page.goto(f"{server.url}/site/bare.html")
    yield page
    page.close()


def expected(oracle: str) -> dict:
    return json.loads((ORACLES / oracle / "expected.json").read_text())


def transcribe(page, server, oracle: str, chunk: int = 16000) -> dict:
    return page.evaluate("([url, delay, chunk]) => transcribe(url, delay, chunk)",
                         [f"{server.url}/files/{oracle}/clip.f32", expected(oracle)["delay_ms"], chunk])


def check(page, server, oracle: str):
    answer = transcribe(page, server, oracle)
    assert "error" not in answer, answer
    assert answer["tokens"] == expected(oracle)["tokens_q4_0"]


@pytest.mark.parametrize("oracle", ["delay480", "delay160"])
def test_by_url(bare, server, oracle):
    opened = bare.evaluate("url => openUrl(url)", f"{server.url}/files/{oracle}/tiny-q4.gguf")
    assert "error" not in opened, opened
    print(opened)
    check(bare, server, oracle)
