"""?bench=1: the figures of `voxtab bench`, measured in the page; and the page in which tools/bench measures."""

import json

import pytest
import soundfile
from playwright.sync_api import expect

from bench.tab import served
from web.conftest import ORACLES
from web.fake_engine import at
from web.test_page import wait_for

MODEL = "model=/files/delay480/tiny-q4.gguf"


@pytest.fixture(scope="module")
def audio(files):
    soundfile.write(files / "short.wav", *soundfile.read(ORACLES / "delay480/clip.flac", dtype="int16"))
    return "audio=/files/short.wav"


def test_the_figures(browser, server, files, audio):
    """With pinned variants; the page goes on afterwards, with other audio."""
    page = browser.new_page()
    page.goto(f"{server.url}/site/?{MODEL}&{audio}&bench=1&variants=linear=plain,block_tokens=8")
    wait_for(page, "done")
    figures = page.evaluate("voxtab.result")
    assert (figures["variants"]["linear"], figures["variants"]["block_tokens"], figures["wrong_variants"]) == (
        "plain",
        8,
        [],
    )
    assert json.loads(at(page, "transcript").text_content()) == figures
    expect(at(page, "copy")).to_be_visible()
    assert (figures["model"], figures["audio"], figures["platform"]) == ("tiny-q4.gguf", "short.wav", "emscripten")
    vendor = page.evaluate("navigator.gpu.requestAdapter().then(({ info }) => info.vendor)")
    assert figures["gpu"]["vendor"] == vendor != "" and "Chrome" in figures["browser"]
    assert figures["rtf"]["least"] <= figures["rtf"]["median"] <= figures["rtf"]["most"]
    assert figures["live_step_ms"]["median"] > 0 and figures["gb_per_s"] > 0 and figures["load_s"] > 0
    at(page, "audio-file").set_input_files(files / "short.wav")
    expect(at(page, "status")).to_contain_text("Done", timeout=60000)
    expect(page.locator("h3", has_text="bench.json")).to_be_attached()  # among the earlier ones
    page.close()


def test_the_page_of_tools_bench(browser, site, files, audio):
    """bench.html opens a model, transcribes and measures."""
    (files / "measured").mkdir()
    (files / "measured/speech.wav").symlink_to(files / "short.wav")
    with served(site, folders={"model": files / "delay480", "measured": files / "measured"}) as url:
        page = browser.new_page()
        page.goto(f"{url}/bench/bench.html")
        assert page.evaluate("all => load(...all)", ["/model/tiny-q4.gguf", None])["name"] == "tiny-q4.gguf"
        assert page.evaluate("transcribe()") > 0
        assert page.evaluate("measure('launches', {}, false)") > 0
        page.close()
