"""The first minute: what the page shows to someone who has no model yet."""

import json

from playwright.sync_api import expect

from web.conftest import CHECKOUT
from web.fake_engine import GOOD_GPU, MODEL, SECOND, at, calls, fed, hear, page_on, wait_for
from web.page.test_errors import adapter, gpu
from web.page.test_kept import KEPT

CLIPS = "models/tiny/clips"
CATALOGUE = json.loads((CHECKOUT / "web/models/catalogue.json").read_text())["models"]
ADDRESSES = ["https://huggingface.co/{repository}/resolve/{revision}/{file}".format(**model) for model in CATALOGUE]
PUBLISHED = ADDRESSES[0]
LANGUAGES = (
    "Arabic, Chinese, Dutch, English, French, German, Hindi, Italian, Japanese, Korean, Portuguese, Russian, Spanish"
)
SITE = json.dumps({"clip": f"{CLIPS}/an110-mdxn-b.flac"})


def first_visit(browser, url, script=None, **more):
    return page_on(browser, url, script, query="", **more)


def with_clips(page):
    """As on a built site, whose site.json names a clip."""
    page.route("**/site.json", lambda route: route.fulfill(body=SITE, content_type="application/json"))
    page.reload()


def test_one_button_gets_the_model(browser, url):
    with first_visit(browser, url) as page:
        assert [asked["model"] for asked in calls(page, "open")] == [None]
        expect(at(page, "welcome")).to_be_visible()
        expect(at(page, "get-model")).to_have_text(f"Get the model ({CATALOGUE[0]['gb']:.1f} GB)")
        expect(at(page, "welcome")).to_contain_text(f"{CATALOGUE[0]['gb']:.1f} GB once, then offline.")
        expect(at(page, "welcome")).to_contain_text(f"From huggingface.co, licence {CATALOGUE[0]['licence']}.")
        expect(at(page, "languages")).to_have_text(f"It writes down {LANGUAGES}.")
        expect(at(page, "welcome")).to_contain_text("13 languages.")
        expect(at(page, "welcome")).to_contain_text("No audio and no text is sent there.")
        expect(page.locator("footer")).to_contain_text("stay in this browser")
        expect(page.locator("footer")).to_contain_text("Only models, from huggingface.co or an address that you give")
        expect(at(page, "verdict")).to_contain_text("This machine is fast enough for it.")  # it was measured
        expect(at(page, "machine")).to_contain_text("GPU Acme 9000", use_inner_text=True)
        expect(at(page, "machine")).to_contain_text("about 4 times faster than you speak")
        if page.evaluate("navigator.deviceMemory"):
            expect(at(page, "machine")).to_contain_text("this machine has")
        expect(at(page, "transcript")).to_be_hidden()
        expect(at(page, "speak")).to_be_hidden()
        at(page, "get-model").click()
        wait_for(page, "ready")
        expect(at(page, "speak")).to_be_enabled()
        assert calls(page, "open")[-1]["model"] == {"url": PUBLISHED}
        expect(at(page, "welcome")).to_be_hidden()
        expect(at(page, "transcript")).to_be_visible()


def test_the_catalogues_models(browser, url):
    """Under “Other models”, each with its size and licence, as `voxtab models` has it.

    Also the first: the card with its button goes when a model is open.
    """
    with first_visit(browser, url) as page:
        entries = at(page, "known-models").locator("li")
        expect(entries).to_have_count(len(CATALOGUE))
        for entry, model in zip(entries.all(), CATALOGUE, strict=True):
            expect(entry).to_contain_text(f"Get {model['name']} {model['gb']:.2f} GB, {model['licence']}")
        expect(at(page, "model-url")).to_have_value(PUBLISHED)
        entries.last.get_by_role("button").click()
        wait_for(page, "ready")
        assert calls(page, "open")[-1]["model"] == {"url": ADDRESSES[-1]}


def test_the_self_test_model_takes_no_dictation(browser, url):
    """A file waits for a model for speech."""
    with first_visit(browser, url) as page:
        at(page, "audio-file").set_input_files(SECOND)
        expect(at(page, "queue-waits")).to_contain_text("This begins by itself as soon as a model is open.")
        expect(at(page, "queue-waits")).to_be_in_viewport()  # below the welcome
        expect(at(page, "status")).to_have_text("Get the model to begin.")
        expect(at(page, "welcome")).to_be_visible()
        assert not calls(page, "start")
        expect(at(page, "queue-get")).to_contain_text("Get the model (")
        at(page, "queue-get").click()
        wait_for(page, "done")
        assert at(page, "transcript").text_content() == " Hello tab. It works."


def test_see_it_work(browser, url):
    """The recordings are fed as they are heard, and the words are written below their waveform."""
    heard = {"events": [{"event": "text", "text": " enter", "audio_seconds": 0.1}]}
    with first_visit(browser, url, {"feed": [heard, {}], "finish": [{"events": []}]}) as page:
        with_clips(page)
        wait_for(page, "ready")
        at(page, "see").click()
        wait_for(page, "transcribing")
        expect(at(page, "see")).to_have_text("Stop")
        expect(at(page, "demo-words")).to_have_text("enter")
        expect(at(page, "see")).to_have_text("Play again", timeout=15000)
        wait_for(page, "ready")
        assert len(fed(page)) > 4 and fed(page)[-1]["fed"] == 16000 * (2.1 + 2.5 + 2 * 0.6)
        assert calls(page, "start")[0]["delay_ms"] == 480
        expect(at(page, "transcript")).to_have_text("")
        # A model can be opened while it plays.
        at(page, "see").click()
        wait_for(page, "transcribing")
        at(page, "get-model").click()
        expect(at(page, "status")).to_have_text("Ready, with voxtral-q4.gguf.")
        expect(at(page, "see")).to_have_text("Play again")


# Where each part of the page is.
PLACES = """() => [...document.querySelectorAll("#welcome > *, #see, #bar > *, aside > *, footer")]
    .filter(({ id, offsetParent }) => offsetParent && id !== "progress")
    .map((part) => [part.id || part.tagName, part.getBoundingClientRect().top + scrollY])"""
WORDS = "enter sixty two thirty one enter eight one nine six"


def test_see_it_work_before_the_engine_is_there(browser, url):
    with first_visit(browser, url, {"boots": False}, state="loading") as page:
        with_clips(page)
        # Nothing moves when it begins, nor later: the button becomes Stop.
        page.set_viewport_size({"width": 360, "height": 740})
        expect(at(page, "machine")).to_contain_text("GPU")
        places = page.evaluate(PLACES)
        at(page, "see").click()
        expect(at(page, "demo")).to_contain_text("Starting the engine")
        expect(at(page, "progress")).to_be_visible()
        assert page.evaluate(PLACES) == places
        hear(page, event="progress", stage="python", done=1, total=1)
        wait_for(page, "transcribing")
        expect(at(page, "stop")).to_be_hidden()
        page.evaluate("words => { document.querySelector('#demo-words').textContent = words; }", WORDS)
        assert page.evaluate(PLACES) == places
        at(page, "see").click()
        wait_for(page, "ready")
        expect(at(page, "see")).to_have_text("Play again")


def test_a_replay_while_the_model_opens(browser, url):
    """Who has waited some seconds sees what the model wrote elsewhere, then what it writes here, without a press."""
    heard = {"events": [{"event": "text", "text": " here", "audio_seconds": 0.1}]}
    script = {"boots": False, "feed": [heard, {}], "finish": [{"events": []}]}
    with first_visit(browser, url, script, state="loading") as page:
        with_clips(page)
        at(page, "see").click()
        expect(at(page, "demo-words")).to_contain_text("enter sixty", timeout=15000)
        expect(at(page, "demo")).to_contain_text("this is a replay of what it wrote on another machine")
        expect(at(page, "see")).to_have_text("Stop")
        hear(page, event="progress", stage="python", done=1, total=1)
        expect(at(page, "demo-words")).to_have_text(WORDS, timeout=15000)  # it is heard to its end
        expect(at(page, "demo-words")).to_have_text("here", timeout=15000)
        expect(at(page, "demo")).to_contain_text("on this machine, while it plays")
        expect(at(page, "see")).to_have_text("Play again", timeout=15000)


def test_a_replay_is_stopped(browser, url):
    """By its button, with the model that opens; or because another model is opened."""
    with first_visit(browser, url, {"boots": False}, state="loading") as page:
        with_clips(page)
        for stop in ("see", "get-model"):
            at(page, "see").click()
            expect(at(page, "demo-words")).to_contain_text("enter", timeout=15000)
            at(page, stop).click()
            expect(at(page, "see")).to_contain_text("Play")
        hear(page, event="progress", stage="python", done=1, total=1)
        expect(at(page, "status")).to_have_text("Ready, with voxtral-q4.gguf.")
        assert not calls(page, "start")


def test_see_it_work_after_it_could_not_open(browser, url):
    failed = {"error": {"kind": "network", "message": "The network failed."}}
    with first_visit(browser, url, {"open": [failed, {}]}, state="error") as page:
        with_clips(page)
        wait_for(page, "error")
        at(page, "see").click()
        wait_for(page, "transcribing")


def test_a_browser_that_cannot(browser, url):
    """It says why and what would do, and shows what the model wrote elsewhere: first that, then what it cannot."""
    with first_visit(browser, url, gpu=gpu("undefined"), state="error") as page:
        with_clips(page)
        page.set_viewport_size({"width": 360, "height": 740})
        expect(page.locator("#welcome > article").first).to_have_id("demo")  # for the keyboard too
        demo, card = (page.locator(id).bounding_box() for id in ("#demo", "#card"))
        assert demo["y"] + demo["height"] <= card["y"]
        expect(at(page, "verdict")).to_contain_text("This browser cannot run it as it is.")
        expect(page.get_by_text("This browser has no WebGPU.")).to_have_count(1)
        expect(at(page, "demo")).to_contain_text("a replay of what the self-test model wrote on another machine")
        expect(at(page, "verdict")).to_contain_text("a GPU with 4 GB of memory")
        expect(at(page, "get-model")).to_be_disabled()
        at(page, "see").click()
        expect(at(page, "demo-words")).to_have_text(WORDS, timeout=15000)
        expect(at(page, "demo")).to_contain_text("on another machine")


def test_a_machine_without_a_gpu(browser, url):
    with first_visit(browser, url, gpu=adapter("{ description: 'llvmpipe (LLVM 15)' }")) as page:
        expect(at(page, "verdict")).to_contain_text("Hardware acceleration seems to be off.")
        expect(at(page, "machine")).to_contain_text("none; llvmpipe (LLVM 15) stands in for it")
        expect(at(page, "status")).to_have_text("No GPU is in use: play a recording to see it work.")
        at(page, "measure").click()
        expect(at(page, "machine")).to_contain_text("about 4 times faster than you speak")
        expect(at(page, "verdict")).to_contain_text("a minute of audio would take about 15 s. Turn it on")


# The browser tells the room on the disk after the speed is known.
SLOW_ESTIMATE = """
StorageManager.prototype.estimate = () => new Promise(
  (resolve) => setTimeout(resolve, 700, { quota: 1e12, usage: 0 }));
"""


def test_a_machine_whose_gpu_is_slow(browser, url):
    """It was measured: too slow for text while one speaks, or at all; or it failed."""
    for result, says in (
        ({"result": {"rtf": 0.8, "live_step_ms": 95}}, "This machine can run it, but not live."),
        ({"result": {"rtf": 2.5, "live_step_ms": 300}}, "Files work, slowly: a minute of audio takes about 2:30 min."),
        ({"result": {"rtf": 251, "live_step_ms": 300}}, "a minute of audio takes about 4.2 h."),
        ({"error": {"kind": "device", "message": "The GPU does not have enough free memory."}}, "can probably run it"),
    ):
        with first_visit(browser, url, {"predict": [result]}, gpu=GOOD_GPU + SLOW_ESTIMATE) as page:
            expect(at(page, "verdict")).to_contain_text(says)
            if result.get("error"):
                expect(at(page, "machine")).to_contain_text("could not be measured: The GPU does not have enough")


def test_a_model_that_is_kept_opens_at_the_next_visit(browser, url):
    with first_visit(browser, url, {"open": [{"result": MODEL | {"kept": "0123"}}]}) as page:
        page.evaluate(KEPT)
        page.evaluate("localStorage.removeItem('voxtab.model')")
        page.reload()
        expect(at(page, "get-model")).to_have_text("Open voxtral-q4.gguf")
        at(page, "get-model").click()
        expect(at(page, "speak")).to_be_enabled()
        page.reload()
        expect(at(page, "speak")).to_be_enabled()
        assert [asked["model"] for asked in calls(page, "open")] == [{"kept": "0123"}]
        expect(at(page, "welcome")).to_be_hidden()
