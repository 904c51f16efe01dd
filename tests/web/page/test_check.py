"""“Check this model” on the page, without the engine. What it finds: ../test_real_words.py, ../../test_check.py."""

import json

from playwright.sync_api import expect

from web.fake_engine import at, calls, page_on, wait_for, wav
from web.page.test_languages import HINDI

PROBLEM = "The model does not hear speech: it writes 'x' where enter is spoken."
REPORT = {
    "model": "voxtral-q4.gguf",
    "voxtab": "1",
    "date": "2026-11-29",
    "gpu": {"vendor": "acme", "device": "", "description": "Acme 9000"},
    "variants": {"linear": "staged"},
    "wrong_variants": ["staged_packed"],
    "types": {"Q4_0": 2_000_000_000, "F32": 1_000_000},
    "clips": [
        {"audio": "a.wav", "reference": "enter", "text": " Enter.", "word_errors": 0},
        {"audio": "b.wav", "reference": "six", "text": " 6", "word_errors": 1},
    ],
    "pads": 0.65,
    "codes": [0.0625] * 16,
    "codes_read": 1600,
    "kernel_error": 2.5e-7,
    "kernel_error_limit": 0.001,
    "problem": None,
}
LINES = """\
voxtral-q4.gguf hears speech on this machine.
a.wav: “Enter.”: every word is right.
b.wav: “6”, where “six” was spoken: 1 word differs.
Numbers in digits and the same numbers in letters count as different words.
Pauses among the tokens: 65%; 60 to 70% are usual.
Weights: Q4_0 2.00 GB, F32 1.0 MB.
Codes -8 to 7 of the Q4_0 weights, in %: 6.3 6.3 6.3 6.3 6.3 6.3 6.3 6.3 6.3 6.3 6.3 6.3 6.3 6.3 6.3 6.3.
Kernels staged: the first layer differs by 2.5e-7 from the plainest ones; up to 0.001 is right.
The graphics driver computes these kernels wrong, so they are not used: staged_packed.
Voxtab 1, 2026-11-29, Acme 9000, """


def with_clips(page):
    page.route("**/site.json", lambda route: route.fulfill(json={"clip": "clips/a.wav"}))
    clips = [{"file": name, "reference": "enter", "text": "enter", "ends": [0.1]} for name in ("a.wav", "b.wav")]
    page.route("**/clips.json", lambda route: route.fulfill(json=clips))
    page.route("**/*.wav", lambda route: route.fulfill(body=wav(bytes(3200))))


def test_a_report_is_shown_and_copied(browser, url):
    script = {"check": [{"result": REPORT}, {"result": REPORT | {"problem": PROBLEM, "codes": None}}]}
    permissions = ["clipboard-read", "clipboard-write"]
    with page_on(browser, url, script, permissions=permissions) as page:
        with_clips(page)
        at(page, "check-model").click()
        expect(at(page, "status")).to_contain_text("Checked")
        verdict = at(page, "check-verdict")
        expect(verdict).to_have_text("It works as it should.")
        expect(verdict).to_be_focused()
        report = at(page, "check-report")
        agent = page.evaluate("navigator.userAgent")
        assert report.text_content() == LINES + agent
        (asked,) = calls(page, "check")
        assert [clip["name"] for clip in asked["clips"]] == ["a.wav", "b.wav"]
        at(page, "copy-check-json").click()
        expect(at(page, "copy-check-json")).to_have_text("Copied.")
        assert json.loads(page.evaluate("navigator.clipboard.readText()")) == REPORT | {"browser": agent}
        at(page, "copy-check-text").click()
        expect(report).to_have_text(LINES + agent, use_inner_text=False)
        assert page.evaluate("navigator.clipboard.readText()") == f"It works as it should.\n{LINES}{agent}"
        at(page, "check-model").click()
        expect(verdict).to_have_text("It does not work as it should.")
        expect(report).to_contain_text(PROBLEM)
        expect(report).not_to_contain_text("hears speech on this machine")
        expect(report).not_to_contain_text("Codes")
        # It is in the page's language, also when that is changed; so is what is copied.
        at(page, "language").select_option("hi")
        expect(verdict).to_have_text(HINDI["check.wrong"])
        expect(report).to_contain_text(HINDI["check.digits"])
        expect(report).not_to_contain_text("Weights")
        at(page, "copy-check-text").click()
        expect(at(page, "copy-check-text")).to_have_text(HINDI["reading.copied"])
        assert HINDI["check.digits"] in page.evaluate("navigator.clipboard.readText()")


def test_it_can_be_stopped_and_nothing_else_runs_meanwhile(browser, url):
    """Nor is it there without a model."""
    with page_on(browser, url, {"check": [{"silent": True}], "stop": [{}]}) as page:
        with_clips(page)
        at(page, "check-model").click()
        wait_for(page, "transcribing")
        expect(at(page, "check-model")).to_be_disabled()
        expect(page.locator("#checking")).to_contain_text("Checking: the model listens")
        at(page, "stop").click()  # the recordings may not have been read yet
        wait_for(page, "ready")
        expect(at(page, "check-model")).to_be_enabled()
        expect(at(page, "check-report")).to_be_hidden()
        expect(page.locator("#checking")).to_be_hidden()
    with page_on(browser, url, query="") as page:
        expect(at(page, "check-model")).to_be_hidden()
