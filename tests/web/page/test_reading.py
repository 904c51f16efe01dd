"""A transcript on the page: its paragraphs and times, hearing it, finding in it, editing and saving it."""

import json

import numpy as np
import pytest
from playwright.sync_api import expect

from recordings import mp3, tripled
from web.conftest import browser_of
from web.fake_engine import SECOND, at, calls, page_on, wait_for, wav

SUBTITLES = {"srt": "1\n", "vtt": "WEBVTT\n", "tsv": "start\n"}


def finished(words, text=None):
    """What the engine answers after a transcription. words: (text, start, end) each."""
    text = " ".join(word for word, _, _ in words) if text is None else text
    timed = [{"text": word, "start": start, "end": end} for word, start, end in words]
    result = {"text": text, "words": timed, "audio_seconds": 60, "delay_ms": 480, "model": "m"}
    return {"finish": [{"events": [], "result": {"result": result, "tokens": [1], "subtitles": SUBTITLES}}]}


def transcribed(page, seconds=8):
    """A tone of some seconds is given to the page."""
    tone = (8000 * np.sin(np.arange(seconds * 16000) / 20)).astype("<i2").tobytes()
    at(page, "audio-file").set_input_files(SECOND | {"buffer": wav(tone)})
    wait_for(page, "done")


THREE = [("One", 0.1, 0.4), ("two.", 0.5, 0.9), ("Three", 5.0, 5.4), ("four", 5.5, 6.0)]

# The page's Audio element.
SOUND = "window.Audio = new Proxy(Audio, { construct: (Made, args) => (window.sound = new Made(...args)) });"


def test_a_file_that_the_browser_would_play_wrongly(browser, url):
    """It tells another length than it has, or the browser cannot play it: what was decoded is played."""
    right = mp3(np.random.default_rng(0).uniform(-0.3, 0.3, 10 * 16000))
    with page_on(browser, url, finished(THREE)) as page:
        page.add_init_script(SOUND)
        page.reload()
        wait_for(page, "ready")
        for name, data in {"tripled.mp3": tripled(right), "right.mp3": right}.items():
            page.evaluate("() => { window.lengths = []; sound.onloadedmetadata = () => lengths.push(sound.duration); }")
            at(page, "audio-file").set_input_files(SECOND | {"name": name, "buffer": data})
            page.wait_for_function("lengths.length")
            expect(at(page, "played")).to_have_text("0:00 / 0:10")
            if data == right:
                assert page.evaluate("lengths") == [pytest.approx(10, abs=0.2)]
                page.evaluate("sound.dispatchEvent(new Event('error'))")  # as if the browser could not play it
            page.wait_for_function("lengths.length === 2")
            assert page.evaluate("lengths[1]") == pytest.approx(10, abs=0.2)
            at(page, "wave").focus()
            page.keyboard.press("End")
            expect(at(page, "wave")).to_have_attribute("aria-valuetext", "0:10")


# How much of a canvas's height its tallest bar takes.
LOUDEST = """(canvas) => {
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    const rows = [...Array(height).keys()].map((y) => data.subarray(4 * y * width, 4 * (y + 1) * width).some(Boolean));
    return (rows.lastIndexOf(true) - rows.indexOf(true) + 1) / height;
}"""


def test_paragraphs_and_hearing(browser, url):
    """A pause begins a paragraph; its time, a word, the waveform and the keys are ways to hear it."""
    with page_on(browser, url, finished(THREE)) as page:
        transcribed(page)
        assert at(page, "transcript").text_content() == "One two. Three four"
        lines = at(page, "transcript").locator("p")
        expect(lines).to_have_text(["One two.", "Three four"])
        times = at(page, "transcript").locator(".time")
        assert [times.nth(i).get_attribute("data-time") for i in range(2)] == ["0:00", "0:05"]
        assert lines.first.get_attribute("dir") == "auto"
        played = at(page, "played")
        expect(played).to_have_text("0:00 / 0:08")
        at(page, "play").click()
        expect(at(page, "play")).to_have_text("Pause")
        at(page, "play").click()
        expect(at(page, "play")).to_have_text("Play")
        # From here on it stays where it is set to.
        page.evaluate("HTMLMediaElement.prototype.play = async () => {}")
        times.nth(1).click()
        expect(at(page, "wave")).to_have_attribute("aria-valuetext", "0:05")
        page.wait_for_function("CSS.highlights.get('played')?.values().next().value.toString() === 'Three'")
        # The word that is clicked: the first line begins with it.
        box = lines.first.bounding_box()
        page.mouse.click(box["x"] + 8, box["y"] + 10)
        page.wait_for_function("CSS.highlights.get('played')?.values().next().value.toString() === 'One'")
        at(page, "transcript").focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("CSS.highlights.get('played')?.values().next().value.toString() === 'two.'")
        at(page, "wave").focus()
        page.keyboard.press("End")
        expect(at(page, "wave")).to_have_attribute("aria-valuetext", "0:08")
        drawn = at(page, "wave").locator("canvas").first
        assert drawn.evaluate(LOUDEST) == 1
        light = drawn.evaluate("canvas => canvas.toDataURL()")
        page.emulate_media(color_scheme="dark")
        wave = "document.querySelector('#wave > div').shadowRoot.querySelector('canvas')"
        page.wait_for_function(f"light => {wave}.toDataURL() !== light", arg=light)
        wave = at(page, "wave").bounding_box()
        page.mouse.click(wave["x"] + wave["width"] / 2 + 1, wave["y"] + 5)
        expect(at(page, "wave")).to_have_attribute("aria-valuetext", "0:04")
        page.mouse.down()
        page.mouse.move(wave["x"] + wave["width"] / 4 + 1, wave["y"] + 5)
        page.mouse.up()
        expect(at(page, "wave")).to_have_attribute("aria-valuetext", "0:02")
        at(page, "speed").select_option("2")
        page.reload()
        expect(at(page, "speed")).to_have_value("2")  # it is remembered


def test_the_waveform_comes_late_or_never(browser, url):
    """Another text may be there by then. Without it, the keys and times still are."""
    with page_on(browser, url, finished(THREE)) as page:
        held = []
        page.route("**/wavesurfer.js", lambda route: held.append(route))
        transcribed(page)
        transcribed(page, 4)
        expect(at(page, "played")).to_have_text("0:00 / 0:04")
        held[0].continue_()
        expect(at(page, "wave").locator("canvas").first).to_be_visible()
    with page_on(browser, url, finished(THREE)) as page:
        page.route("**/wavesurfer.js", lambda route: route.abort())
        transcribed(page)
        at(page, "wave").focus()
        page.keyboard.press("End")
        expect(at(page, "wave")).to_have_attribute("aria-valuetext", "0:08")


# Loud once, after three quarters of 20 minutes, which come in blocks of 7 s.
HOURS = """async () => {
    const { Peaks } = await import('./modules/page/waveform.js');
    const peaks = new Peaks();
    for (let second = 0; second < 1200; second += 7) {
        const block = new Float32Array(7 * 16000);
        if (second <= 900 && 900 < second + 7) block[(900 - second) * 16000] = -0.5;
        peaks.take(block);
    }
    const { values } = peaks;
    return [values.length, values.indexOf(0.5) / values.length * 1204, values.filter(Boolean).length];
}"""


def test_the_peaks_of_hours_are_few(browser, url):
    """Drawing is quick then, and each stays at its time."""
    page = browser.new_page()
    page.goto(f"{url}/style.css")
    count, seconds, loud = page.evaluate(HOURS)
    page.close()
    assert count <= 1 << 14 and round(seconds) == 900 and loud == 1


def test_an_edited_text_is_not_replaced_unasked(browser, url):
    with page_on(browser, url, finished(THREE)) as page:
        transcribed(page)
        at(page, "edit").click()
        at(page, "transcript").locator("p").first.fill("Mine.")
        at(page, "edit").click()
        at(page, "again").click()
        expect(at(page, "question")).to_contain_text("You have edited this text.")
        at(page, "decline").click()
        expect(at(page, "again")).to_be_focused()
        expect(at(page, "transcript")).to_contain_text("Mine.")
        assert len(calls(page, "start")) == 1
        at(page, "again").click()
        at(page, "confirm").click()
        expect(at(page, "transcript")).not_to_contain_text("Mine.")
        wait_for(page, "done")
        assert len(calls(page, "start")) == 2


def test_editing_is_done(browser, url):
    """The button says what it does next, in each language; those beside it stay where they are."""
    with page_on(browser, url, finished(THREE)) as page:
        transcribed(page)
        edit = at(page, "edit")
        for language, start, done in (("en", "Edit", "Done"), ("hi", "बदलें", "हो गया")):
            at(page, "language").select_option(language)
            expect(edit).to_have_text(start)
            place = at(page, "print").bounding_box()
            edit.click()
            expect(edit).to_have_text(done)
            assert edit.get_attribute("aria-pressed") is None
            assert at(page, "print").bounding_box() == place
            page.keyboard.press("Escape")
            expect(edit).to_have_text(start)
            expect(edit).to_be_focused()
            edit.click()
            edit.click()
            expect(edit).to_have_text(start)
            expect(edit).to_be_focused()
        edit.click()
        at(page, "language").select_option("en")
        expect(edit).to_have_text("Done")


def test_edited_paragraphs_stay_apart(browser, url):
    """Also where the user takes the space between two."""
    with page_on(browser, url, finished(THREE)) as page:
        transcribed(page)
        at(page, "edit").click()
        for line, text in zip(at(page, "transcript").locator("p").all(), ("First.", "Second.")):
            line.fill(text)
        at(page, "edit").click()
        expect(at(page, "sessions-list").locator(".beginning")).to_contain_text("First. Second.")


def test_edited_words_keep_their_times(browser, url):
    """And the subtitles are made of them again."""
    script = finished(THREE) | {"subtitles": [{"result": {"srt": "edited", "vtt": "", "tsv": ""}}]}
    with page_on(browser, url, script) as page:
        transcribed(page)
        at(page, "edit").click()
        line = at(page, "transcript").locator("p").nth(1)
        line.click()
        assert line.evaluate("line => getComputedStyle(line).outlineOffset") == "-3px"  # nothing clips it
        page.keyboard.press("Home")
        page.keyboard.type("Twenty-")
        page.keyboard.press("End")
        page.keyboard.type(" five")
        at(page, "edit").click()
        expect(line).to_have_text("Twenty-Three four five")
        with page.expect_download() as download:
            at(page, "save-srt").click()
        assert download.value.path().read_text() == "edited"
        (asked,) = calls(page, "subtitles")
        assert asked["text"] == "One two. Twenty-Three four five"
        words = [(word["text"], word["start"], word["end"]) for word in asked["words"]]
        assert words[:2] == THREE[:2]
        assert words[2] == ("Twenty-Three", 5.0, 5.4) and words[3] == ("four", 5.5, 6.0) and words[4][1] == 6.0
        with page.expect_download() as download:
            at(page, "save-json").click()
        saved = json.loads(download.value.path().read_text())
        assert saved["text"] == asked["text"] and len(saved["words"]) == 5 and saved["edited"]


def test_found_copied_and_saved(browser, url):
    with page_on(browser, url, finished(THREE), permissions=["clipboard-read", "clipboard-write"]) as page:
        transcribed(page)
        at(page, "find").fill("t")
        expect(at(page, "found")).to_have_text("1 of 2")
        page.keyboard.press("Enter")
        expect(at(page, "found")).to_have_text("2 of 2")
        # Places stay right after letters whose small form is longer.
        page.evaluate("document.querySelector('#transcript p').firstChild.insertData(0, 'İİ, Istanbul. ')")
        marked = "name => [...CSS.highlights.get(name)].map(String)"
        for wanted, places in (("two", ["two"]), ("i", ["İ", "İ", "I"]), ("İ", ["İ", "İ", "I"])):
            at(page, "find").fill(wanted)
            expect(at(page, "found")).to_have_text(f"1 of {len(places)}")
            assert page.evaluate(marked, "found") == places
        page.evaluate("document.querySelector('#transcript p').firstChild.deleteData(0, 14)")
        at(page, "find").fill("مرحبا")
        assert at(page, "find").evaluate("field => getComputedStyle(field).direction") == "rtl"
        at(page, "copy").click()
        expect(at(page, "copy")).to_have_text("Copied.")
        assert page.evaluate("navigator.clipboard.readText()") == "One two.\n\nThree four"
        at(page, "copy-times").click()
        page.wait_for_function(
            "navigator.clipboard.readText().then((text) => text === '[0:00] One two.\\n\\n[0:05] Three four')"
        )
        with page.expect_download() as download:
            at(page, "save-tsv").click()
        assert download.value.suggested_filename == "clip.tsv"


def test_three_hours_of_text(browser, url):
    """In paragraphs that are laid out only where they are seen; scripts of other directions have their own."""
    words = [(f"word{i}." if i % 12 == 11 else f"word{i}", i * 0.36, i * 0.36 + 0.3) for i in range(30000)]
    with page_on(browser, url, finished([("مرحبا", 0, 0.2), *((w, s + 9, e + 9) for w, s, e in words)])) as page:
        transcribed(page)
        box = at(page, "transcript")
        assert page.evaluate("document.querySelectorAll('#transcript *').length") < 3000
        last = box.locator(".paragraph").last
        assert last.locator(".time").get_attribute("data-time").startswith("2:5")
        at(page, "transcript").evaluate("box => { box.scrollTop = box.scrollHeight; }")
        expect(last).to_be_in_viewport()
        assert page.evaluate("getComputedStyle(document.querySelector('#transcript p')).direction") == "rtl"
        if browser_of(page) == "chromium":  # no other prints without its window
            at(page, "find").fill("word1")
            assert len(page.pdf()) < 1_000_000  # 20 MB with a shadow on each of 200 pages


def test_what_is_printed(browser, url):
    """The text with its name and times, as on white paper, without what was marked on the screen."""
    with page_on(browser, url, finished(THREE), color_scheme="dark") as page:
        transcribed(page)
        at(page, "find").fill("t")
        page.emulate_media(media="print")
        expect(at(page, "reading-title")).to_be_visible()
        expect(at(page, "transcript").locator(".time").first).to_be_visible()
        for name in ("find", "save-txt", "wave", "speak", "sessions"):
            expect(at(page, name)).to_be_hidden()
        ink, *marked = page.evaluate("""() => {
            const line = document.querySelector("#transcript p");
            const behind = (name) => getComputedStyle(line, `::highlight(${name})`).backgroundColor;
            return [getComputedStyle(line).color, ...["found", "found-now", "played"].map(behind)];
        }""")
        assert ink == "rgb(27, 33, 31)" and set(marked) == {"rgba(0, 0, 0, 0)"}


def test_how_sure_the_model_is(browser, url):
    """Less sure words are marked, and going to one tells what else it might have been; only if that is asked for."""
    script = finished(THREE)
    token = [("two", 0.44), (" too", 0.4), ("", 0.1), (" to", 0.003)]
    alternatives = [[{"text": text, "probability": probability} for text, probability in token]]
    for word, confidence in zip(script["finish"][0]["result"]["result"]["words"], (0.99, 0.44, 0.7, 0.8)):
        word |= {"confidence": confidence, "alternatives": alternatives}
    with page_on(browser, url, script) as page:
        at(page, "alternatives").check()
        transcribed(page)
        assert calls(page, "start")[0]["alternatives"] == 4
        marked = "name => [...CSS.highlights.get(name)].map(String)"
        assert page.evaluate(marked, "doubtful") == ["two."] and page.evaluate(marked, "unsure") == ["Three"]
        line = at(page, "transcript").locator("p").first
        style = "(line, name) => getComputedStyle(line, `::highlight(${name})`).textDecorationStyle"
        assert [line.evaluate(style, name) for name in ("unsure", "doubtful")] == ["dotted", "dashed"]  # no misspelling
        page.evaluate("HTMLMediaElement.prototype.play = async () => {}")
        at(page, "transcript").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        two = "“two.”: the model is 44% sure. It might have been “too” (40%) instead of “two”."
        expect(at(page, "sureness")).to_have_text(two)
        at(page, "wave").focus()
        page.keyboard.press("End")
        page.wait_for_function("CSS.highlights.get('played')?.values().next().value.toString() === 'four'")
        expect(at(page, "sureness")).to_have_text(two)  # it can be read while the audio plays on
        # At a later visit too, without the audio.
        page.reload()
        wait_for(page, "ready")
        page.get_by_role("button", name="Open clip.wav").click()
        assert page.evaluate(marked, "doubtful") == ["two."] and page.evaluate(marked, "unsure") == ["Three"]
        expect(at(page, "sureness")).to_be_hidden()
        at(page, "transcript").focus()
        page.keyboard.press("ArrowRight")
        expect(at(page, "sureness")).to_contain_text("“One”")
        page.keyboard.press("ArrowRight")
        expect(at(page, "sureness")).to_have_text(two)
        at(page, "reset").click()
        expect(at(page, "alternatives")).not_to_be_checked()
