"""The page and the engine together: a person's ways to text, with the tokens of the native engine."""

import json
import re
from pathlib import Path

import pytest
import soundfile
from playwright.sync_api import expect
from web.conftest import speaking
from web.fake_engine import at

ORACLE = Path(__file__).parents[1] / "oracle" / "delay480"
EXPECTED = json.loads((ORACLE / "expected.json").read_text())["tokens_q4_0"]
MODEL = "model=/files/delay480/tiny-q4.gguf"


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """The oracle's clip as WAV, which a browser gives to the page untouched."""
    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    soundfile.write(path, *soundfile.read(ORACLE / "clip.flac", dtype="int16"))
    return path


@pytest.fixture(scope="module")
def link(files, clip):
    """Of a page that does everything by itself."""
    (files / "clip.wav").write_bytes(clip.read_bytes())
    return f"{MODEL}&audio=/files/clip.wav&delay=480&left_silence=32&autostart=1"


@pytest.fixture
def page(browser):
    page = browser.new_page()
    uncaught = []
    page.on("pageerror", lambda error: uncaught.append(error))
    yield page
    page.close()
    assert not uncaught


def wait_for(page, state):
    expect(page.locator("html")).to_have_attribute("data-state", re.compile(f"{state}|error"), timeout=60000)
    reached = page.locator("html").get_attribute("data-state")
    assert reached == state, at(page, "error").text_content()


def tokens(page) -> list[int]:
    return page.evaluate("voxtab.result.tokens")


def check(page):
    wait_for(page, "done")
    assert tokens(page) == EXPECTED
    assert at(page, "transcript").text_content() == page.evaluate("voxtab.result.text") != ""


def test_link_under_a_deeper_path_and_reload(page, server, link):
    page.goto(f"{server.url}/some/deeper/site/?{link}")
    check(page)
    description = page.evaluate("navigator.gpu.requestAdapter().then(({ info }) => `${info.architecture} ${info.description}`)")
    if re.search("swiftshader|llvmpipe", description, re.IGNORECASE):
        expect(at(page, "warning")).to_contain_text("in software")
    else:
        expect(at(page, "warning")).to_be_hidden()
    page.reload()
    check(page)


def test_chosen_files_then_again_then_stop(page, server, clip, tmp_path):
    """The model in shards from this machine, in one document: no second start of Python."""
    data = (ORACLE / "tiny-q4.gguf").read_bytes()
    paths = [tmp_path / "shard-ab", tmp_path / "shard-aa", ORACLE / "tekken.json"]
    paths[1].write_bytes(data[:300_001])
    paths[0].write_bytes(data[300_001:])
    page.goto(f"{server.url}/site/")
    wait_for(page, "ready")
    at(page, "model-url").fill(f"{server.url}/files/no/such.gguf")
    at(page, "load-url").click()
    wait_for(page, "error")
    expect(at(page, "error")).to_contain_text("404")
    at(page, "model-files").set_input_files(paths)
    expect(at(page, "status")).to_have_text("Ready, with shard-aa.", timeout=30000)
    at(page, "audio-file").set_input_files(clip)
    check(page)
    at(page, "again").click()
    check(page)
    at(page, "again").click()
    at(page, "stop").click()
    wait_for(page, "ready")
    at(page, "again").click()
    check(page)


def test_gpu_lost(page, server, link):
    """Open again in the Worker that Python runs in, and transcribed again from the start."""
    page.add_init_script("""
        window.made = [];
        window.Worker = class extends Worker {
          constructor(address, options) {
            super(new URL('patched_worker.js?lose', address), options);
            window.made.push(this);
            // patched_worker.js is deaf until worker.js, which it loads, has said something.
            this.listens = new Promise((resolve) => this.addEventListener('message', resolve));
          }
          postMessage(...all) {
            this.listens.then(() => super.postMessage(...all));
          }
        };
    """)
    page.goto(f"{server.url}/site/?{link}")
    wait_for(page, "transcribing")
    page.evaluate("made[0].postMessage({ verb: 'lose' })")
    expect(at(page, "error")).to_contain_text("the audio is transcribed again from its start", timeout=30000)
    check(page)
    assert page.evaluate("made.length") == 1


def test_in_an_iframe_of_another_origin(page, server, elsewhere, link):
    page.goto(f"{elsewhere.url}/files/delay480/tekken.json")
    page.set_content(f'<iframe src="{server.url}/site/?{link}" width="600" height="600"></iframe>')
    frame = page.frame_locator("iframe")
    expect(frame.locator("html")).to_have_attribute("data-state", "done", timeout=60000)
    (inner,) = [frame for frame in page.frames if "/site/" in frame.url]
    assert inner.evaluate("voxtab.result.tokens") == EXPECTED


def test_microphone(browser, server, clip):
    """Text while one speaks; and what was recorded, read as a file, gives the same tokens."""
    with speaking(browser, clip) as page:
        page.goto(f"{server.url}/site/?{MODEL}")
        wait_for(page, "ready")
        at(page, "speak").click()
        expect(at(page, "transcript")).to_have_text(re.compile(r"\S"), timeout=60000)
        assert page.evaluate("document.documentElement.dataset.state") == "transcribing"
        at(page, "stop").click()
        wait_for(page, "done")
        live = tokens(page)
        at(page, "again").click()
        expect(at(page, "earlier").locator("article")).to_have_count(1)
        wait_for(page, "done")
        assert tokens(page) == live and len(live) > 40
