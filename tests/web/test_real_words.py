"""The page as a newcomer meets it: the self-test model, a person's voice, and every word right."""

import pytest
from playwright.sync_api import expect

from web.fake_engine import UNFOLD, at
from web.test_page import CLIPS, SPOKEN, as_wav, wait_for


@pytest.fixture(scope="module")
def page(browser, server):
    """A first visit: the self-test model is open, but takes no dictation yet."""
    page = browser.new_page()
    page.add_init_script(UNFOLD)
    page.goto(f"{server.url}/site/")
    wait_for(page, "ready")
    yield page
    page.close()


def test_see_it_work(page):
    """Two recordings are played, and their words appear. Then the self-test model is chosen, for the tests below."""
    at(page, "see").click()
    expect(at(page, "demo-words")).to_have_text(f"{SPOKEN[CLIPS[0].name]} {SPOKEN[CLIPS[1].name]}", timeout=60000)
    expect(at(page, "see")).to_be_enabled(timeout=60000)
    at(page, "use-self-test").click()
    expect(at(page, "speak")).to_be_enabled(timeout=60000)


@pytest.mark.parametrize("suffix", [".flac", ".wav"])
def test_a_file(page, tmp_path, suffix):
    """The words that were spoken, which are what PyTorch and the command line write. One time with alternatives.

    The check below hears the other recordings too.
    """
    clip = CLIPS[0]
    at(page, "alternatives").set_checked(suffix == ".wav")
    if suffix == ".wav":
        clip = as_wav(clip, tmp_path / clip.with_suffix(".wav").name)
    at(page, "audio-file").set_input_files(clip)
    expect(at(page, "status")).not_to_contain_text("Done")
    wait_for(page, "done")
    spoken = SPOKEN[clip.with_suffix(".flac").name]
    assert at(page, "transcript").text_content().strip() == spoken == page.evaluate("voxtab.result.text")
    words = page.evaluate("voxtab.result.words")
    assert [word["text"] for word in words] == spoken.split()
    if suffix == ".wav":
        assert all(word["confidence"] > 0.5 and len(word["alternatives"][0]) == 4 for word in words)
    else:
        assert not any("confidence" in word for word in words)


def test_check_this_model(page):
    """The report of the model that is open: every word of the recordings, pads as in speech, and Q4_0's codes."""
    at(page, "check-model").click()
    expect(at(page, "status")).to_contain_text("Checked", timeout=60000)
    report = page.evaluate("voxtab.result")
    assert [(clip["text"], clip["word_errors"]) for clip in report["clips"]] == [(SPOKEN[c.name], 0) for c in CLIPS]
    assert report["problem"] is None and 0.5 < report["pads"] < 0.8
    assert (
        len(report["codes"]) == 16 and sum(report["codes"]) == pytest.approx(1, abs=1e-3) and report["codes"][0] > 0.03
    )
    assert report["kernel_error"] <= report["kernel_error_limit"] and [*report["types"]] == ["Q4_0"]
    shown = at(page, "check-report").text_content()
    assert "hears speech" in shown and shown.count("every word is right") == 3 and "3.7 1.6 2.5" in shown
