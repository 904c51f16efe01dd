"""?bench=1 and ?variants= on the page, without the engine; its figures are in ../test_bench.py."""

import json

from playwright.sync_api import expect

from web.fake_engine import at, calls, page_on, wait_for, wav

FIGURES = {"rtf": {"median": 0.5}, "audio": "short.wav"}


def with_audio(page):
    page.route("**/short.wav", lambda route: route.fulfill(body=wav(bytes(3200))))
    page.reload()


def test_figures(browser, url):
    with page_on(browser, url, {"bench": [{"result": FIGURES}]}, "?audio=short.wav&bench=1", state=None) as page:
        with_audio(page)
        wait_for(page, "done")
        assert json.loads(at(page, "transcript").text_content()) == page.evaluate("voxtab.result")
        assert page.evaluate("voxtab.result.rtf") == {"median": 0.5} and "Chrome" in page.evaluate(
            "voxtab.result.browser"
        )
        expect(at(page, "speak")).to_be_enabled()
        expect(at(page, "again")).to_be_hidden()


def test_stopped(browser, url):
    """A measurement can be stopped, and nothing else can start meanwhile."""
    script = {"bench": [{"silent": True}]}
    with page_on(browser, url, script, "?audio=short.wav&bench=1", state=None) as page:
        with_audio(page)
        wait_for(page, "transcribing")
        at(page, "load-url").click()
        expect(at(page, "error")).to_contain_text("A measurement is running: stop it first.")
        at(page, "stop").click()
        wait_for(page, "ready")
        expect(at(page, "error")).to_be_hidden()
        expect(at(page, "speak")).to_be_enabled()
        assert len(calls(page, "open")) == 1


def test_gpu_lost(browser, url):
    lost = {"event": "lost", "message": "The GPU was lost."}
    script = {"bench": [{"events": [lost], "silent": True}]}
    with page_on(browser, url, script, "?audio=short.wav&bench=1", state=None) as page:
        with_audio(page)
        wait_for(page, "error")
        expect(at(page, "error")).to_contain_text("The GPU was lost.")
        at(page, "retry").click()
        wait_for(page, "ready")


def test_audio_that_is_not_there(browser, url):
    with page_on(browser, url, query="?audio=none.wav&bench=1", state="error") as page:
        expect(at(page, "error")).to_contain_text("404")
        assert not calls(page, "bench")


def test_pins_are_the_links_alone(browser, url):
    """Another model opens without the pinned variants."""
    refused = {"error": {"kind": "audio", "message": "'nonsense' is not a kernel variant."}}
    with page_on(browser, url, {"open": [refused, {}]}, "?variants=nonsense", state="error") as page:
        expect(at(page, "error").locator("#error-text")).to_have_text("'nonsense' is not a kernel variant.")
        at(page, "use-self-test").click()
        wait_for(page, "ready")
        expect(at(page, "error")).to_be_hidden()
        assert [asked["variants"] for asked in calls(page, "open")] == ["nonsense", None]
