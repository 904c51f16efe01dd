"""The page and the engine together: all ways in which a user gets text, with the tokens of the native engine.

tools/test_firefox runs this file in Firefox.
"""

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from voxtab import resources
from web.conftest import ORACLES, speaking
from web.fake_engine import UNFOLD, at, drop_paths

BOTH = ("delay480", "delay160")
EXPECTED = {oracle: json.loads((ORACLES / oracle / "expected.json").read_text())["tokens_q4_0"] for oracle in BOTH}
CLIPS = resources.embedded_clips()
SPOKEN = {clip["file"]: clip["reference"] for clip in json.loads((CLIPS[0].parent / "clips.json").read_text())}


def as_wav(clip, path, silence_seconds=0):
    """The recording as WAV, with silence around it."""
    samples, rate = soundfile.read(clip, dtype="int16")
    silence = np.zeros(silence_seconds * rate, np.int16)
    soundfile.write(path, np.concatenate([silence, samples, silence]), rate, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def clips(files) -> dict[str, Path]:
    """The oracles' clips as WAV, which a browser gives to the page untouched; served next to the models."""
    paths = {oracle: files / oracle / "clip.wav" for oracle in BOTH}
    for oracle, path in paths.items():
        soundfile.write(path, *soundfile.read(ORACLES / oracle / "clip.flac", dtype="int16"))
    return paths


def link(oracle):
    """The query of a link that loads and transcribes automatically."""
    return (
        f"?model=/files/{oracle}/tiny-q4.gguf&audio=/files/{oracle}/clip.wav&delay={oracle.removeprefix('delay')}"
        "&left_silence=32&autostart=1"
    )


def opened(browser):
    page = browser.new_page()
    page.add_init_script(UNFOLD)
    page.uncaught = []
    page.expected = None  # part of an error that the test causes and the page deals with: it may come at any time
    page.on("pageerror", lambda error: page.uncaught.append(str(error)))
    return page


def close(page):
    page.close()
    assert not [error for error in page.uncaught if page.expected is None or page.expected not in error]


@pytest.fixture
def page(browser):
    page = opened(browser)
    yield page
    close(page)


def wait_for(page, state):
    expect(page.locator("html")).to_have_attribute("data-state", re.compile(f"{state}|error"), timeout=60000)
    reached = page.locator("html").get_attribute("data-state")
    assert reached == state, at(page, "error").text_content()


def wait_until(page, condition, seconds=60):
    """For Playwright's wait_for_function, which needs eval: the page's policy forbids it."""
    until = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < until, condition
        page.wait_for_timeout(50)


def tokens(page) -> list[int]:
    return page.evaluate("voxtab.tokens")


def check(page, oracle="delay480"):
    wait_for(page, "done")
    assert tokens(page) == EXPECTED[oracle]
    assert at(page, "transcript").text_content() == page.evaluate("voxtab.result.text") != ""


def test_link_under_a_deeper_path(page, server, clips):
    page.goto(f"{server.url}/some/deeper/site/{link('delay160')}")
    check(page, "delay160")
    # Firefox names no adapter, but says that it is a fallback.
    if page.evaluate(
        "navigator.gpu.requestAdapter().then(({ info, isFallbackAdapter }) => Boolean(info.isFallbackAdapter ?? "
        "isFallbackAdapter) || /swiftshader|llvmpipe/i.test(`${info.architecture} ${info.description}`))"
    ):
        expect(at(page, "warning")).to_contain_text("in software")
    else:
        expect(at(page, "warning")).to_be_hidden()
    expect(at(page, "kept-list")).to_contain_text("tiny-q4.gguf")


@pytest.fixture(scope="module")
def ready(browser, server):
    """One document for everything that a user can do in it, one after the other, so that Python starts once."""
    page = opened(browser)
    page.goto(f"{server.url}/site/?delay=480")
    wait_for(page, "ready")
    yield page
    close(page)


def test_dropped_model_and_audio(ready, clips):
    """One .gguf with its tokenizer, and then audio, which waits until the model is open."""
    drop_paths(ready, ORACLES / "delay480" / "tiny-q4.gguf", ORACLES / "delay480" / "tekken.json")
    drop_paths(ready, clips["delay480"])
    check(ready)
    assert ready.evaluate("voxtab.result.model") == "tiny-q4.gguf"


def test_dropped_shards(ready, clips):
    """Cut as the oracle's own test cuts them; the tokenizer comes after them."""
    at(ready, "delay").fill("160")
    drop_paths(ready, *sorted((ORACLES / "delay160" / "shards").iterdir(), reverse=True))
    expect(at(ready, "error")).to_contain_text("choose its tekken.json")
    drop_paths(ready, ORACLES / "delay160" / "tekken.json")
    expect(at(ready, "status")).to_have_text("Ready, with shard-aa.", timeout=30000)
    drop_paths(ready, clips["delay160"])
    check(ready, "delay160")


def test_chosen_files_then_again_then_stop(ready, server, clips, tmp_path):
    """The model in shards from this machine, after an address without a model."""
    at(ready, "delay").fill("480")
    data = (ORACLES / "delay480" / "tiny-q4.gguf").read_bytes()
    paths = [tmp_path / "shard-ab", tmp_path / "shard-aa", ORACLES / "delay480" / "tekken.json"]
    paths[1].write_bytes(data[:300_001])
    paths[0].write_bytes(data[300_001:])
    at(ready, "model-url").fill(f"{server.url}/files/no/such.gguf")
    at(ready, "load-url").click()
    expect(ready.locator("html")).to_have_attribute("data-state", "error", timeout=30000)
    expect(at(ready, "error")).to_contain_text("404")
    at(ready, "model-files").set_input_files(paths)
    expect(at(ready, "status")).to_have_text("Ready, with shard-aa.", timeout=30000)
    at(ready, "audio-file").set_input_files(clips["delay480"])
    check(ready)
    # At once, before a fast GPU is through: stopped, and transcribed again from its start.
    ready.evaluate("""() => {
        for (const name of ['again', 'stop']) document.querySelector(`[data-testid=${name}]`).click();
    }""")
    wait_for(ready, "ready")
    at(ready, "again").click()
    check(ready)


@pytest.mark.parametrize("how, engines", [("lose_at_text", 1), ("memory_at_text", 2)])
def test_engine_goes_away(page, server, clips, how, engines):
    """It goes on from the text that is there: after a lost GPU in the same Worker, without memory in a new one."""
    page.add_init_script(
        """
        window.engines = 0;
        const policy = window.trustedTypes?.createPolicy("test", { createScriptURL: String }) ??
          { createScriptURL: String };
        window.Worker = class extends Worker {
          constructor(address, options) {
            const fails = String(address).endsWith('/boot.js') && engines++ === 0;
            super(fails ? policy.createScriptURL(new URL('../patched_worker.js?HOW', address)) : address, options);
          }
        };
    """.replace("HOW", how)
    )
    page.expected = "out of memory"  # the crash; Firefox also reports it to the window
    page.goto(f"{server.url}/site/{link('delay480')}")
    expect(at(page, "error")).to_contain_text("the transcription goes on from there", timeout=60000)
    check(page)
    expect(at(page, "earlier")).to_be_hidden()
    assert page.evaluate("engines") == engines


def test_pythons_program_does_not_arrive(page, server):
    page.expected = ""  # the Worker's error, in the browser's words
    page.add_init_script("delete Navigator.prototype.serviceWorker")  # Playwright cannot abort its requests
    page.route("**/pyodide.asm.wasm*", lambda route: route.abort())
    page.goto(f"{server.url}/site/?model=/files/none.gguf")
    expect(page.locator("html")).to_have_attribute("data-state", "error", timeout=60000)
    expect(at(page, "error")).to_contain_text("The engine could not start")
    page.unroute("**/pyodide.asm.wasm*")
    at(page, "retry").click()
    expect(at(page, "error")).to_contain_text("404", timeout=60000)  # so Python runs


def test_in_an_iframe_of_another_origin(page, server, elsewhere, clips):
    page.goto(f"{elsewhere.url}/files/delay480/tekken.json")
    page.set_content(f'<iframe src="{server.url}/site/{link("delay480")}" width="600" height="600"></iframe>')
    frame = page.frame_locator("iframe")
    expect(frame.locator("html")).to_have_attribute("data-state", "done", timeout=60000)
    (inner,) = [frame for frame in page.frames if "/site/" in frame.url]
    assert inner.evaluate("voxtab.tokens") == EXPECTED["delay480"]


def test_microphone(browser, server, tmp_path):
    """Every word comes while the user speaks; and the recording, read as a file, gives the same tokens.

    Chromium's fake device stutters when it starts, so a second of silence comes first. It plays at another rate.
    Firefox's hums, which gives no text.
    """
    speaks = browser.browser_type.name == "chromium"
    with speaking(browser, as_wav(CLIPS[0], tmp_path / "clip.wav", silence_seconds=1)) as page:
        page.goto(f"{server.url}/site/?model=self-test")
        wait_for(page, "ready")
        at(page, "speak").click()
        if speaks:
            expect(at(page, "transcript")).to_have_text(re.compile(r"\w"), timeout=60000)
            at(page, "show-captions").click()
        # The recording lasts 2.1 s, after a second of silence and what the device stuttered.
        expect(page.get_by_role("timer")).to_have_text(re.compile("^(0:0[5-9]|0:[1-5]|[1-9])"), timeout=60000)
        assert page.evaluate("document.documentElement.dataset.state") == "transcribing"
        at(page, "stop").click()
        wait_for(page, "done")
        live = tokens(page)
        if speaks:
            captions = page.evaluate("""() => {
                const words = documentPictureInPicture.window.document.querySelector("#caption-words");
                return [words.textContent, getComputedStyle(words).fontSize];
            }""")
            # The page's policy lets it have its style.
            assert captions == [page.evaluate("voxtab.result.text"), "36px"]
            assert page.evaluate("voxtab.result.text") == SPOKEN[CLIPS[0].name]
        at(page, "again").click()
        wait_until(page, "voxtab.result")
        assert tokens(page) == live and len(live) > 40
