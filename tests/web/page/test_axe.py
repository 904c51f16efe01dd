"""axe-core finds nothing that hinders people with disabilities, in any state of the page, light and dark."""

import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import expect

from web.fake_engine import SECOND, at, drop, hear, page_on, wait_for
from web.page.test_errors import gpu
from web.page.test_kept import KEPT
from web.page.test_queue import BAD
from web.page.test_reading import THREE, finished, transcribed
from web.page.test_welcome import with_clips

AXE = Path(__file__).parents[1] / "axe"


@pytest.fixture(scope="session")
def axe():
    """Its script, from npm."""
    script = AXE / "node_modules/axe-core/axe.min.js"
    if not script.exists():
        subprocess.run(["npm", "ci"], cwd=AXE, check=True, stdout=subprocess.DEVNULL)
    return script.read_text()


@pytest.fixture
def check(axe):
    """Checks a page as it stands."""

    def found(page):
        page.evaluate(f"globalThis.axe ? 0 : (() => {{ {axe} }})()")
        wrong = []
        # In the dark, only colours differ.
        for scheme, rules in (
            ("light", {"rules": {"target-size": {"enabled": True}}}),
            ("dark", {"runOnly": ["color-contrast"]}),
        ):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            wrong += page.evaluate(
                """async ([scheme, rules]) => (await axe.run(rules)).violations.flatMap(({ id, nodes }) =>
                    nodes.map(({ target, failureSummary }) => `${scheme}: ${id}: ${target}: ${failureSummary}`))""",
                [scheme, rules],
            )
        assert wrong == []

    return found


def test_from_the_first_minute_to_a_transcript(browser, url, check):
    script = finished(THREE) | {"open": [{}, {"error": {"kind": "network", "message": "The network failed."}}, {}]}
    with page_on(browser, url, script, query="") as page:
        with_clips(page)
        wait_for(page, "ready")
        at(page, "see").click()
        wait_for(page, "transcribing")
        check(page)  # “See it work” plays
        at(page, "get-model").click()
        wait_for(page, "error")
        at(page, "audio-file").set_input_files(SECOND)  # it waits for a model
        expect(at(page, "queue-waits")).to_be_visible()
        check(page)
        at(page, "retry").click()
        wait_for(page, "done")
        expect(at(page, "offer-longest")).to_be_visible()
        transcribed(page)
        at(page, "play").click()
        at(page, "find").fill("t")
        at(page, "edit").click()
        check(page)
        page.reload()
        wait_for(page, "ready")
        at(page, "sessions-list").get_by_role("button", name="Open").first.click()
        expect(at(page, "no-audio")).to_be_visible()
        expect(at(page, "get")).to_be_visible()
        check(page)


def test_while_it_works(browser, url, check):
    """With a model that is kept, and files that wait, are done and have failed; in Hindi."""
    progress = {"event": "progress", "stage": "weights", "done": 1200000000, "total": 2511866880}
    script = {"open": [{"events": [progress], "silent": True}, {}], "finish": [{}, {"silent": True}]}
    with page_on(browser, url, script, query="?model=self-test&lang=hi", state="loading") as page:
        page.evaluate(KEPT)
        page.reload()
        expect(at(page, "kept-list")).to_contain_text("voxtral-q4.gguf")
        check(page)
        at(page, "use-self-test").click()
        wait_for(page, "ready")
        drop(
            page,
            ("a.wav", SECOND["buffer"]),
            ("bad.wav", BAD),
            ("c.wav", SECOND["buffer"]),
            ("d.wav", SECOND["buffer"]),
            ("e.pdf", b"%PDF"),
        )
        expect(at(page, "left-out")).to_be_visible()
        expect(at(page, "queue-list").locator("li").nth(2)).to_have_attribute("data-state", "running")
        check(page)


def test_lists_with_many(browser, url, check):
    """Of files, some of which failed or were stopped, and of transcripts, searched with and without a find."""
    with page_on(browser, url, {"finish": [*[{}] * 5, {"silent": True}]}, query="?model=self-test&lang=hi") as page:
        drop(page, ("0.wav", BAD), *((f"{n}.wav", SECOND["buffer"]) for n in range(1, 8)))
        expect(at(page, "queue-list").locator("li").nth(6)).to_have_attribute("data-state", "running")
        at(page, "stop").click()
        expect(at(page, "queue-clear")).to_be_visible()
        expect(at(page, "sessions-list").locator("li")).to_have_count(5)
        at(page, "sessions-find").fill("hello")
        expect(at(page, "sessions-found")).to_contain_text("5")
        check(page)
        at(page, "sessions-find").fill("zebra")
        expect(at(page, "sessions-list").locator("li")).to_have_count(0)
        check(page)


def test_while_it_listens(browser, url, check):
    """With captions, a hint, and a place where the model was started again; then its recording is found again."""
    script = {"feed": [{"events": [{"event": "text", "text": " Hello.", "tokens": [33], "audio_seconds": 0.1}]}, {}]}
    with page_on(browser, url, script) as page:
        page.evaluate("""() => {
            delete globalThis.documentPictureInPicture;
            MediaDevices.prototype.getUserMedia = async () => new AudioContext().createMediaStreamDestination().stream;
        }""")
        page.locator("#sources summary").click()
        at(page, "speak").click()
        expect(at(page, "transcript")).to_have_text("Hello.")
        at(page, "show-captions").click()
        at(page, "caption-contrast").select_option("yellow")
        hear(page, event="restart", audio_seconds=0.5)
        expect(at(page, "hint")).to_be_visible()  # it is silent
        check(page)
        at(page, "dismiss-hint").click()
        clock = page.get_by_role("timer")
        before = clock.text_content()
        expect(clock).not_to_have_text(before)
        expect(at(page, "hint")).to_be_hidden()  # though it is still silent
        page.goto(f"{url}/?model=self-test&lang=hi")
        expect(at(page, "interrupted")).to_be_visible()
        wait_for(page, "ready")
        check(page)


def test_a_question_a_measurement_and_a_browser_that_cannot(browser, url, check):
    script = {"bench": [{"silent": True}]}
    with page_on(browser, url, script, query="?model=https://models.example/a.gguf&bench=1", state=None) as page:
        with_clips(page)
        expect(at(page, "question")).to_be_visible()
        check(page)
        at(page, "confirm").click()
        expect(at(page, "status")).to_contain_text("Measuring")
        check(page)
    with page_on(browser, url, query="?lang=hi", gpu=gpu("undefined"), state="error") as page:
        check(page)
