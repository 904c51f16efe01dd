"""What one listens to, and what the page does while it listens."""

import json
import re

import pytest
import soundfile
from playwright.sync_api import expect

from web.audio.tones import tone
from web.conftest import hearing
from web.fake_engine import SECOND, answer, at, calls, hear, page_on, wait_for
from web.page.test_languages import HINDI

HELLO = {"event": "text", "text": " Hello tab.", "tokens": [33, 1001], "audio_seconds": 0.8}


@pytest.fixture(scope="module")
def speaking(browser, tmp_path_factory):
    """A browser with three microphones, each of which plays a tone for a minute; it shares itself when asked to."""
    clip = tmp_path_factory.mktemp("live") / "clip.wav"
    soundfile.write(clip, tone(48000, seconds=60), 48000)
    browser = hearing(browser, clip)
    yield browser
    browser.close()


def listening(page):
    expect(page.get_by_role("meter")).to_be_visible()


# What the page asks the browser for.
ASKED = """() => {
    window.asked = [];
    for (const name of ["getUserMedia", "getDisplayMedia"]) {
        const open = MediaDevices.prototype[name];
        MediaDevices.prototype[name] = function (how) { asked.push(how); return open.call(this, how); };
    }
}"""


def test_the_microphone_is_chosen_and_remembered(speaking, url):
    """Nothing is done to its sound unless the room is noisy. One that is gone is replaced, and said."""
    with page_on(speaking, url) as page:
        expect(page.locator("#sources summary")).to_have_text("Microphone: system default")
        page.locator("#sources summary").click()
        at(page, "source").select_option(label="Fake Audio Input 2")
        at(page, "noisy").check()
        page.reload()
        wait_for(page, "ready")
        page.evaluate(ASKED)
        expect(page.locator("#sources summary")).to_have_text("Microphone: Fake Audio Input 2")
        at(page, "speak").click()
        listening(page)
        device = page.evaluate("asked[0].audio.deviceId.exact")
        assert page.evaluate("(({ audio: { deviceId, ...rest } }) => rest)(asked[0])") == {
            "channelCount": 1,
            "autoGainControl": False,
            "echoCancellation": False,
            "noiseSuppression": True,
        }
        assert device == at(page, "source").input_value() != ""  # this browser gives it another id at each visit
        expect(at(page, "error")).to_be_hidden()
        at(page, "stop").click()
        wait_for(page, "done")
        page.locator("#sources summary").click()
        at(page, "noisy").uncheck()
        page.evaluate('localStorage[\'voxtab.source\'] = \'{"id":"gone","label":"Headset"}\'')
        page.reload()
        wait_for(page, "ready")
        page.evaluate(ASKED)
        expect(page.locator("#sources summary")).to_have_text("Microphone: Headset")
        at(page, "speak").click()
        expect(at(page, "error")).to_contain_text("Headset is not there: the system's microphone is used.")
        listening(page)
        assert page.evaluate("asked.map(({ audio }) => audio.noiseSuppression)") == [False, False]
        assert at(page, "source").locator("option").all_text_contents() == [
            "The system's microphone",
            "Fake Audio Input 1",
            "Fake Audio Input 2",
            "A tab, or what the system plays",
            "Headset (not there now)",
        ]


def test_a_tabs_sound(speaking, checkout_url):
    with page_on(speaking, checkout_url) as page:
        page.evaluate(ASKED)
        page.locator("#sources summary").click()
        at(page, "source").select_option(label="A tab, or what the system plays")
        expect(page.locator("#sources summary")).to_have_text("Sound: a tab or the system")
        expect(at(page, "speak")).to_have_text("Listen")
        expect(at(page, "noisy")).to_be_hidden()
        at(page, "speak").click()
        wait_for(page, "transcribing")
        expect(at(page, "status")).to_have_text("Listening to what you share.")
        assert page.evaluate("asked[0].audio.suppressLocalAudioPlayback") is False
        page.wait_for_function("window.heard.some(({ fed }) => fed > 8000)")
        # The user ends it in the browser's bar: the track ends, which this browser has no bar to do.
        page.evaluate(
            """async () => (await import("./page/state.js")).state.microphone._stream.getAudioTracks()[0]
                .dispatchEvent(new Event("ended"))"""
        )
        expect(at(page, "error")).to_contain_text("The tab is not shared any more.")
        wait_for(page, "done")
        # Without its sound, and not at all.
        page.evaluate("""() => {
            const open = MediaDevices.prototype.getDisplayMedia;
            MediaDevices.prototype.getDisplayMedia = async function (how) {
                const stream = await open.call(this, how);
                return new MediaStream(stream.getVideoTracks());
            };
        }""")
        at(page, "speak").click()
        expect(at(page, "error")).to_contain_text("What you shared has no sound.")
        expect(at(page, "status")).to_have_text("Nothing is being heard.")
        page.evaluate("""() => {
            MediaDevices.prototype.getDisplayMedia = async () => { throw new DOMException("no", "NotAllowedError"); };
        }""")
        at(page, "speak").click()
        expect(at(page, "error")).to_contain_text("Nothing was shared.")
        expect(at(page, "speak")).to_be_enabled()


def test_a_browser_without_tabs_sound(speaking, url):
    with page_on(speaking, url, state=None) as page:
        page.add_init_script("delete MediaDevices.prototype.getDisplayMedia;")
        page.reload()
        wait_for(page, "ready")
        page.locator("#sources summary").click()
        expect(page.get_by_text("cannot give a page the sound of a tab")).to_be_visible()
        expect(at(page, "source").locator("option")).to_have_count(3)


def test_a_key_is_held_to_talk_and_escape_stops(speaking, url):
    with page_on(speaking, url) as page:
        page.keyboard.press("Space")
        expect(page.get_by_role("meter")).to_be_hidden()  # no key was chosen
        page.locator("#sources summary").click()
        at(page, "talk-key").select_option("Space")
        page.reload()
        wait_for(page, "ready")
        at(page, "find").evaluate("field => { document.querySelector('#text-actions').hidden = false; field.focus(); }")
        page.keyboard.press("Space")
        assert at(page, "find").input_value() == " "
        expect(page.get_by_role("meter")).to_be_hidden()
        page.evaluate("document.activeElement.blur()")
        page.keyboard.down("Space")
        listening(page)
        page.keyboard.down("Space")  # it repeats while it is held
        page.wait_for_function("window.heard.some(({ fed }) => fed > 8000)")
        expect(at(page, "stop")).to_be_visible()
        page.keyboard.up("Space")
        expect(at(page, "status")).to_have_text("Paused: hold Space to speak on.")
        page.keyboard.press("Escape")
        wait_for(page, "done")
        at(page, "speak").click()
        listening(page)
        page.keyboard.press("Escape")
        wait_for(page, "done")
        assert len(calls(page, "finish")) == 2


def test_a_key_talks_wherever_the_focus_is(speaking, url):
    """Even where it was chosen; what has the focus does not get the key then. In a field, only F8 talks."""
    with page_on(speaking, url, {"feed": [{"events": [HELLO]}, {}]}) as page:
        page.locator("#sources summary").click()
        at(page, "talk-key").select_option("Space")
        at(page, "talk-key").focus()
        page.keyboard.down("Space")
        listening(page)
        expect(at(page, "stop")).to_be_focused()  # the list is folded away
        page.keyboard.up("Space")
        paused = "Paused: hold Space to speak on."
        expect(at(page, "status")).to_have_text(paused)
        before = at(page, "advanced").evaluate("details => details.open")
        for place in ("#stop", "#show-captions", "#advanced summary", "footer a", "#transcript"):
            page.locator(place).first.focus()
            expect(page.locator(place).first).to_be_focused()
            page.keyboard.down("Space")
            expect(at(page, "status")).to_have_text("Listening: speak now.")
            page.keyboard.up("Space")
            expect(at(page, "status")).to_have_text(paused)
        assert at(page, "advanced").evaluate("details => details.open") == before
        expect(at(page, "show-captions")).to_have_attribute("aria-pressed", "false")
        at(page, "find").focus()
        page.keyboard.press("Space")
        assert at(page, "find").input_value() == " "
        expect(at(page, "status")).to_have_text(paused)
        # Enter presses, as always.
        at(page, "stop").focus()
        page.keyboard.press("Enter")
        wait_for(page, "done")
        # It talks too where a space plays the audio, and where files are chosen.
        for place in ("#transcript", "#wave", "#audio-file"):
            page.locator(place).focus()
            expect(page.locator(place)).to_be_focused()
            page.keyboard.down("Space")
            listening(page)
            page.keyboard.up("Space")
            expect(at(page, "status")).to_have_text(paused)
            page.keyboard.press("Escape")
            wait_for(page, "done")
        expect(at(page, "play")).to_have_text("Play")
        page.locator("#sources summary").click()
        at(page, "talk-key").select_option("F8")
        for place in ("#source", "#find", "#transcript p"):
            if place == "#transcript p":
                at(page, "edit").click()
            page.locator(place).focus()
            expect(page.locator(place)).to_be_focused()
            page.keyboard.down("F8")
            expect(at(page, "status")).to_have_text("Listening: speak now.")
            page.keyboard.up("F8")
            expect(at(page, "status")).to_have_text("Paused: hold F8 to speak on.")
            hear(page, **HELLO)  # something to find and to edit


def test_a_key_that_cannot_talk_does_what_it_always_does(speaking, url):
    """While a file is transcribed, and while one listens without the key."""
    with page_on(speaking, url, {"feed": [{"silent": True}]}) as page:
        page.locator("#sources summary").click()
        at(page, "talk-key").select_option("Space")
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "transcribing")
        opened = page.locator("#more-audio")
        opened.locator("summary").focus()
        page.keyboard.press("Space")
        expect(opened).to_have_attribute("open", "")
        page.keyboard.press("Space")
        expect(opened).not_to_have_attribute("open", "")
        at(page, "stop").focus()
        page.keyboard.press("Space")
        wait_for(page, "ready")
        at(page, "speak").click()
        listening(page)
        at(page, "stop").focus()
        page.keyboard.press("Space")
        expect(page.get_by_role("meter")).to_be_hidden()


def test_a_key_talks_in_the_captions_window(speaking, url):
    """And is let go there too, or when that window is left."""
    with page_on(speaking, url) as page:
        page.locator("#sources summary").click()
        at(page, "talk-key").select_option("Space")
        page.keyboard.down("Space")
        listening(page)
        page.keyboard.up("Space")
        expect(at(page, "status")).to_have_text("Paused: hold Space to speak on.")
        at(page, "show-captions").click()
        page.wait_for_function("documentPictureInPicture.window?.document.querySelector('#close-captions')")
        # Whether the window let the key through to the element.
        press = """([id, type]) => {
            const inside = documentPictureInPicture.window;
            const event = new inside.KeyboardEvent(type, { code: "Space", key: " ", bubbles: true, cancelable: true });
            return inside.document.querySelector(id).dispatchEvent(event);
        }"""
        leave = "documentPictureInPicture.window.dispatchEvent(new Event('blur'))"
        for let_go in (lambda: page.evaluate(press, ["#close-captions", "keyup"]), lambda: page.evaluate(leave)):
            assert not page.evaluate(press, ["#close-captions", "keydown"])
            expect(at(page, "status")).to_have_text("Listening: speak now.")
            let_go()
            expect(at(page, "status")).to_have_text("Paused: hold Space to speak on.")
        assert page.evaluate(press, ["#caption-size", "keydown"])
        expect(at(page, "status")).to_have_text("Paused: hold Space to speak on.")


def heard_seconds(page):
    return page.evaluate("(window.heard.findLast(({ fed }) => fed)?.fed ?? 0) / 16000")


def test_what_is_said_with_the_key_is_one_transcript(speaking, url):
    """Once it is let go, silence follows, in which the last words come. Then nothing is heard; nothing is missing."""
    with page_on(speaking, url) as page:
        page.evaluate(WAKE_LOCK)
        page.locator("#sources summary").click()
        at(page, "talk-key").select_option("F8")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.down("F8")
        listening(page)
        page.wait_for_function("window.heard.some(({ fed }) => fed > 16000)")
        red = page.get_by_role("timer").evaluate("clock => getComputedStyle(clock).color")
        page.keyboard.up("F8")
        expect(at(page, "status")).to_have_text("Paused: hold F8 to speak on.")
        expect(page.get_by_role("timer")).not_to_have_css("color", red)
        assert page.evaluate("window.locks.map(({ released }) => released)") == [True]
        page.wait_for_function("window.heard.findLast(({ fed }) => fed).loudest < 1e-3")
        before = heard_seconds(page)
        page.wait_for_timeout(3000)  # longer than the system may pause a microphone untold
        assert heard_seconds(page) == before
        expect(at(page, "error")).to_be_hidden()
        page.keyboard.down("F8")
        expect(at(page, "status")).to_have_text("Listening: speak now.")
        expect(page.get_by_role("timer")).to_have_css("color", red)
        fed = "until => window.heard.findLast(({ fed }) => fed).fed / 16000 > until"
        page.wait_for_function(fed, arg=before + 5, timeout=30000)
        expect(at(page, "error")).to_be_hidden()  # a missing second would be told by now
        page.keyboard.up("F8")
        at(page, "stop").click()
        wait_for(page, "done")
        assert len(calls(page, "start")) == len(calls(page, "finish")) == 1
        expect(at(page, "sessions-list").get_by_role("listitem")).to_have_count(1)


def test_a_pause_that_lasts_a_minute_ends_the_recording(speaking, url):
    with page_on(speaking, url) as page:
        page.locator("#sources summary").click()
        at(page, "talk-key").select_option("F8")
        page.evaluate("document.activeElement.blur()")
        page.clock.install()
        page.keyboard.down("F8")
        listening(page)
        page.keyboard.up("F8")
        expect(at(page, "status")).to_have_text("Paused: hold F8 to speak on.")
        page.clock.run_for(59_000)
        assert not calls(page, "finish")
        page.clock.run_for(2000)
        wait_for(page, "done")
        expect(page.get_by_role("meter")).to_be_hidden()


def test_the_text_that_is_behind_is_written_after_the_recording(speaking, checkout_url):
    """The page does not ask one to speak while the engine hears the rest, whoever ended the recording."""
    with page_on(speaking, checkout_url, {"feed": [{"silent": True}]}) as page:
        lost = """async () => (await import("./page/state.js")).state.microphone._stream.getAudioTracks()[0]
            .dispatchEvent(new Event("ended"))"""
        for end in (lambda: at(page, "stop").click(), lambda: page.evaluate(lost)):
            at(page, "speak").click()
            listening(page)
            expect(at(page, "status")).to_have_text("Listening: speak now.")
            page.wait_for_function("window.heard.findLast(({ call, fed }) => call?.verb === 'start' || fed)?.fed")
            end()
            expect(page.get_by_role("meter")).to_be_hidden()
            expect(at(page, "status")).to_have_text("The recording has ended. Writing what was said…")
            at(page, "stop").click()
            wait_for(page, "ready")


def test_escape_loses_nothing(speaking, url):
    """It answers an open question with no; and the last words are still written after it was pressed twice."""
    with page_on(speaking, url, {"finish": [{}, {"silent": True}]}) as page:
        at(page, "speak").click()
        listening(page)
        at(page, "stop").click()
        wait_for(page, "done")
        at(page, "speak").click()
        listening(page)
        at(page, "delete-all").click()
        expect(at(page, "question")).to_be_visible()
        page.keyboard.press("Escape")
        expect(at(page, "question")).to_be_hidden()
        listening(page)
        page.keyboard.press("Escape")
        expect(at(page, "status")).to_have_text("The recording has ended. Writing what was said…")
        page.keyboard.press("Escape")
        expect(at(page, "stop")).to_have_text("Stop writing")
        expect(at(page, "status")).to_have_text("The recording has ended. Writing what was said…")
        at(page, "stop").click()
        wait_for(page, "ready")


def test_the_key_is_let_go_before_the_microphone_is_open(speaking, url):
    with page_on(speaking, url) as page:
        page.evaluate("""() => {
            const open = MediaDevices.prototype.getUserMedia;
            MediaDevices.prototype.getUserMedia = function (how) {
                return new Promise((resolve) => { window.allow = () => resolve(open.call(this, how)); });
            };
        }""")
        page.locator("#sources summary").click()
        at(page, "talk-key").select_option("F8")
        page.keyboard.press("F8")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("F8")
        expect(at(page, "status")).to_contain_text("Waiting for the microphone")
        page.evaluate("allow()")
        expect(at(page, "status")).to_have_text("Paused: hold F8 to speak on.")
        at(page, "stop").click()
        wait_for(page, "done")
        expect(page.get_by_role("meter")).to_be_hidden()


# This browser's headless shell refuses wake locks.
WAKE_LOCK = """() => {
window.locks = [];
navigator.wakeLock.request = async (kind) => {
    const lock = { kind, released: false, release() { lock.released = true; } };
    locks.push(lock);
    return lock;
};
}"""


LEFT = """() => {
    const { scrollHeight, scrollTop, clientHeight } = document.querySelector("#transcript");
    return scrollHeight - scrollTop - clientHeight;
}"""  # pixels of the text below what is seen


def test_while_it_listens(speaking, url):
    """The screen stays on; the tab's title has the clock; the text can be copied, saved and edited as it comes."""
    script = {"feed": [{"events": [HELLO]}, {}]}
    with page_on(speaking, url, script, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.evaluate(WAKE_LOCK)
        assert page.title() == "Voxtab: speech to text in this tab"
        page.locator("#sources summary").click()
        at(page, "speak").click()
        wait_for(page, "transcribing")
        expect(at(page, "source")).to_be_hidden()  # its place is the text's
        page.wait_for_function(r"/^● 0:0\d – Voxtab$/.test(document.title)")
        assert page.evaluate("locks.map(({ kind, released }) => [kind, released])") == [["screen", False]]
        page.evaluate("""() => {
            locks[0].released = true; // as browsers do when the page is hidden
            document.dispatchEvent(new Event("visibilitychange"));
        }""")
        assert page.evaluate("locks.length") == 2, "it is taken again when the page is seen again"
        expect(at(page, "lag")).to_contain_text("s behind")
        expect(at(page, "transcript").locator("p")).to_have_text("Hello tab.")
        at(page, "copy").click()
        assert page.evaluate("navigator.clipboard.readText()") == "Hello tab."
        with page.expect_download() as download:
            at(page, "save-txt").click()
        assert re.fullmatch(r"Recording \d{4}-\d\d-\d\d \d\d\.\d\d\.txt", download.value.suggested_filename)
        assert download.value.path().read_text(encoding="utf-8") == "Hello tab.\n"
        for other in ("srt", "vtt", "tsv", "json"):
            expect(at(page, f"save-{other}")).to_be_hidden()
        at(page, "edit").click()
        page.keyboard.press("Control+Home")
        page.keyboard.type("Oh:")
        hear(page, event="text", text=" It", tokens=[33], audio_seconds=3)  # after a pause: a new paragraph
        hear(page, event="text", text=" works.", tokens=[34], audio_seconds=3.2)
        # A paragraph has its first word's time, as at the end, once that is known.
        time = at(page, "transcript").locator(".time").last
        expect(time).to_have_attribute("data-time", "0:03")
        words = [("Hello", 0.1), ("tab.", 0.4), ("It", 2.8)]
        hear(page, event="words", words=[{"text": text, "start": start, "end": start + 0.2} for text, start in words])
        expect(time).to_have_attribute("data-time", "0:02")
        lines = at(page, "transcript").locator("p")
        expect(lines).to_have_text(["Oh: Hello tab.", "It works."])
        lines.last.fill("")
        hear(page, event="text", text=" Yes.", tokens=[35], audio_seconds=3.4)
        expect(lines).to_have_text(["Oh: Hello tab.", "Yes."])
        page.keyboard.press("Escape")  # a field has the focus: it is still listening
        listening(page)
        # On a phone, the text comes first; what is told below it leaves its last words in sight.
        page.set_viewport_size({"width": 360, "height": 640})
        hear(page, event="text", text=" word" * 300, tokens=[36], audio_seconds=3.6)
        page.wait_for_function(f"({LEFT})() < 40")
        at(page, "load-url").click()
        expect(page.locator("#error-text")).to_have_text("A transcription is running: stop it first.")
        page.evaluate("document.querySelector('#error-text').textContent = 'word '.repeat(40)")
        page.wait_for_function(f"({LEFT})() < 40")
        text, told, bar = (page.locator(part).bounding_box() for part in ("#transcript", "#error", "#bar"))
        assert text["y"] < 160 and text["height"] > 200
        assert text["y"] + text["height"] <= told["y"] and told["y"] + told["height"] <= bar["y"]
        assert bar["y"] + bar["height"] <= 640
        # Held sideways, it stands beside them.
        page.set_viewport_size({"width": 740, "height": 360})
        page.wait_for_function(f"({LEFT})() < 40")
        text, told, bar = (page.locator(part).bounding_box() for part in ("#transcript", "#error", "#bar"))
        assert text["y"] < 160 and text["height"] > 140 and text["y"] + text["height"] <= 360
        assert text["x"] + text["width"] <= min(told["x"], bar["x"]) and bar["y"] < 360
        page.set_viewport_size({"width": 360, "height": 640})
        # It can be dismissed; what is refused once more is told once more.
        at(page, "dismiss-error").click()
        expect(at(page, "error")).to_be_hidden()
        at(page, "load-url").click()
        expect(page.locator("#error-text")).to_have_text("A transcription is running: stop it first.")
        at(page, "stop").click()
        expect(page.get_by_role("meter")).to_be_hidden()
        assert page.evaluate("locks.every(({ released }) => released)")


def test_an_edited_text_takes_the_times(browser, url):
    script = {"feed": [{"events": [HELLO]}, {}], "finish": [{"silent": True}]}
    with page_on(browser, url, script) as page:
        at(page, "audio-file").set_input_files(SECOND)
        expect(at(page, "transcript")).to_have_text("Hello tab.")
        at(page, "edit").click()
        page.keyboard.press("Control+Home")
        page.keyboard.type("Oh:")
        hear(page, event="text", text=" It works.", tokens=[33], audio_seconds=1)
        words = [("Hello", 0.1), ("tab.", 0.5), ("It", 0.7), ("works.", 0.8)]
        result = {
            "text": " Hello tab. It works.",
            "audio_seconds": 1,
            "delay_ms": 480,
            "words": [{"text": text, "start": start, "end": start + 0.1} for text, start in words],
        }
        page.wait_for_function("window.heard.some(({ call }) => call?.verb === 'finish')")
        answer(page, "finish", result={"result": result, "tokens": [], "subtitles": {"srt": "", "vtt": "", "tsv": ""}})
        wait_for(page, "done")
        expect(at(page, "transcript")).to_have_text("Oh: Hello tab. It works.")
        expect(at(page, "sessions-list").locator(".beginning")).to_have_text("Oh: Hello tab. It works.")  # kept so
        with page.expect_download() as download:
            at(page, "save-json").click()
        saved = json.loads(download.value.path().read_text(encoding="utf-8"))
        assert [word["text"] for word in saved["words"]] == ["Oh:", "Hello", "tab.", "It", "works."]
        assert saved["words"][2] == {"text": "tab.", "start": 0.5, "end": 0.6} and saved["edited"]


def test_captions_end_with_their_page(speaking, url):
    """When it is reloaded or left, their window closes: nothing would work in it."""
    with page_on(speaking, url, {"feed": [{"events": [HELLO]}, {}]}) as page:
        at(page, "speak").click()
        expect(at(page, "transcript")).to_have_text("Hello tab.")
        with page.context.expect_page() as opened:
            at(page, "show-captions").click()
        expect(opened.value.locator("#caption-words")).to_have_text("Hello tab.")
        with opened.value.expect_event("close"):
            page.reload()
        wait_for(page, "ready")


def test_captions(speaking, url):
    """In a window of their own, with the last words; where there is none, in the page. Their look is remembered."""
    script = {"feed": [{"events": [HELLO]}, {}]}
    with page_on(speaking, url, script) as page:
        at(page, "speak").click()
        expect(at(page, "transcript")).to_have_text("Hello tab.")
        waiting = "getComputedStyle(document.querySelector('#caption-words'), '::before').content"
        assert page.evaluate(waiting) == "none"
        page.evaluate("document.querySelector('#caption-words').textContent = ''")
        assert page.evaluate(waiting) == '"Listening…"'  # before the first word
        hear(page, **HELLO)
        at(page, "show-captions").click()
        page.wait_for_function("documentPictureInPicture.window?.document.querySelector('#caption-words')")
        inside = "documentPictureInPicture.window.document"
        assert page.evaluate(f"{inside}.querySelector('#caption-words').textContent") == " Hello tab."
        hear(page, event="text", text=" It works." * 100, tokens=[33], audio_seconds=2)
        shown = page.evaluate(f"""() => {{
            const words = {inside}.querySelector("#caption-words");
            return [words.textContent.length, words.scrollTop + words.clientHeight >= words.scrollHeight - 1];
        }}""")
        assert shown[0] <= 600 and shown[1]
        page.evaluate(f"""() => {{
            const choose = (id, value) => {{
                const choice = {inside}.querySelector(id);
                choice.value = value;
                choice.dispatchEvent(new Event("change"));
            }};
            choose("#caption-size", "largest");
            choose("#caption-contrast", "yellow");
        }}""")
        look = "getComputedStyle(document.querySelector('#captions')).backgroundColor".replace(
            "document.", f"{inside}."
        )
        page.wait_for_function(f"{look} === 'rgb(0, 0, 0)'")
        # The window's language is the page's.
        for language, title in (("hi", HINDI["captions.window"]), ("en", "Captions – Voxtab")):
            at(page, "language").select_option(language)
            page.wait_for_function(f"title => {inside}.title === title", arg=title)
            assert page.evaluate(f"{inside}.documentElement.lang") == language
        # Escape closes the window, and the page goes on listening.
        page.evaluate(f"{inside}.body.dispatchEvent(new KeyboardEvent('keydown', {{ key: 'Escape', bubbles: true }}))")
        page.wait_for_function("document.querySelector('#captions')?.hidden")
        expect(at(page, "show-captions")).to_have_attribute("aria-pressed", "false")
        listening(page)
        page.evaluate("delete globalThis.documentPictureInPicture")
        at(page, "show-captions").click()
        expect(at(page, "caption-words")).to_contain_text("It works.")
        expect(at(page, "caption-size")).to_have_value("largest")
        # On a phone they take the text's place; afterwards its last words are in sight again.
        page.set_viewport_size({"width": 360, "height": 740})
        captions, bar = (page.locator(part).bounding_box() for part in ("#captions", "#bar"))
        assert captions["y"] < 160 and captions["height"] > 300
        assert captions["y"] + captions["height"] <= bar["y"] and bar["y"] + bar["height"] <= 740
        page.wait_for_function("""() => {
            const { scrollHeight, scrollTop, clientHeight } = document.querySelector("#caption-words");
            return scrollHeight - scrollTop - clientHeight < 2; // the last words are in sight, whatever its size
        }""")
        page.set_viewport_size({"width": 740, "height": 360})
        captions, bar = (page.locator(part).bounding_box() for part in ("#captions", "#bar"))
        assert captions["height"] > 200 and captions["y"] + captions["height"] <= 360
        assert captions["x"] + captions["width"] <= bar["x"]
        page.set_viewport_size({"width": 360, "height": 740})
        expect(at(page, "transcript")).to_be_hidden()
        hear(page, event="text", text=" It ends.", tokens=[34], audio_seconds=2.1)
        at(page, "close-captions").click()
        expect(at(page, "transcript")).to_be_visible()
        page.wait_for_function(f"({LEFT})() < 40")
        page.reload()
        expect(at(page, "caption-contrast")).to_have_value("yellow")


def test_what_is_too_quiet_or_too_loud_is_told(browser, url):
    """Judged block by block; the sentence goes when the sound is right."""
    with page_on(browser, url) as page:
        told = page.evaluate("""async () => {
            const { Loudness } = await import("./modules/audio/loudness.js");
            const over = (...parts) => {
                const loudness = new Loudness();
                let seconds = 0;
                return parts.map(([length, peak]) => {
                    let last;
                    for (let i = 0; i < length / 0.08; i++) last = loudness.take((seconds += 0.08), peak);
                    return last;
                });
            };
            return [over([2, 0], [3, 0], [1, 0.2]), over([5, 0.01], [3, 0.01], [1, 0.2], [9, 0.01]),
                over([1, 0.5], [1, 1], [5, 0.5])];
        }""")
        assert told == [[None, "silent", None], [None, "quiet", None, None], [None, "clipped", None]]


def test_where_the_model_was_started_again_is_marked(browser, url):
    words = [("Hello", 0.1), ("tab.", 0.5), ("It", 1.5), ("works.", 1.7)]
    result = {
        "text": " Hello tab. It works.",
        "audio_seconds": 3,
        "delay_ms": 480,
        "restarts": [1.2],
        "words": [{"text": text, "start": start, "end": start + 0.2} for text, start in words],
    }
    script = {
        "feed": [{"events": [HELLO, {"event": "restart", "audio_seconds": 1.2}]}],
        "finish": [{"silent": True}],
    }
    with page_on(browser, url, script) as page:
        page.evaluate("document.querySelector('#settings details').open = true")
        at(page, "audio-file").set_input_files(SECOND)
        mark = page.get_by_role("note", name="The model wrote nothing from 0:01 on, although someone talked.")
        expect(mark).to_be_visible()
        page.wait_for_function("window.heard.some(({ call }) => call?.verb === 'finish')")
        hear(page, event="text", text=" It works.", tokens=[33], audio_seconds=1.5)
        expect(at(page, "transcript").locator("p")).to_have_text(["Hello tab.", "It works."])
        answer(page, "finish", result={"result": result, "tokens": [], "subtitles": {"srt": "", "vtt": "", "tsv": ""}})
        wait_for(page, "done")
        expect(mark).to_be_visible()
        assert at(page, "transcript").text_content() == " Hello tab. It works."
        expect(at(page, "transcript").locator("p")).to_have_text(["Hello tab.", "It works."])
        at(page, "guard").uncheck()
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "transcribing")
        assert [call["guard"] for call in calls(page, "start")] == [True, False]


def test_all_that_is_remembered_is_reset(speaking, url):
    """Whatever the user has chosen: by a field on the page, each of which is remembered first."""
    kept = "() => Object.keys(localStorage).sort()"
    fields = "() => [...document.querySelectorAll('select, [type=checkbox], #delay, #left-silence')]"
    values = (
        f"() => ({fields})().map(({{ id, value, checked }}) => [id, id === 'source' ? value !== '' : value, checked])"
    )
    with page_on(speaking, url) as page:
        expect(at(page, "source").locator("option")).to_have_count(4)
        before = page.evaluate(values)
        page.evaluate(f"""() => {{
            for (const field of ({fields})()) {{
                if (["language", "keep-files"].includes(field.id)) continue; // not remembered, or test_languages.py
                if (field.type === "checkbox") field.checked = !field.checked;
                else if (field.options) field.selectedIndex = field.selectedIndex === 1 ? 2 : 1;
                else field.value = 960;
                field.dispatchEvent(new Event("change"));
            }}
        }}""")
        chosen = page.evaluate(values)
        page.reload()
        wait_for(page, "ready")
        expect(at(page, "source").locator("option")).to_have_count(4)
        assert page.evaluate(values) == chosen != before
        expect(page.locator("#sources summary")).to_have_text("Microphone: Fake Audio Input 1")
        at(page, "reset").click()
        expect(at(page, "reset")).to_be_hidden()
        expect(page.locator("#sources summary")).to_have_text("Microphone: system default")
        assert page.evaluate(values) == before and page.evaluate(kept) == []
        page.reload()
        wait_for(page, "ready")
        expect(at(page, "reset")).to_be_hidden()
        assert page.evaluate(values) == before


def test_settings_in_a_link(browser, url):
    """What was chosen, and the model's address; never audio. The link brings the settings back; they can be reset."""
    with page_on(browser, url, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.route("**/clip.wav", lambda route: route.fulfill(body=SECOND["buffer"]))
        page.goto(f"{url}/?model=m.gguf&audio=clip.wav&delay=960")
        wait_for(page, "ready")
        at(page, "left-silence").fill("40")
        at(page, "left-silence").blur()
        at(page, "guard").uncheck()
        at(page, "files-2400").check()
        page.locator("#sources summary").click()
        at(page, "noisy").check()
        at(page, "copy-link").click()
        expect(at(page, "link-copied")).to_contain_text("Copied: ")
        link = page.evaluate("navigator.clipboard.readText()")
        assert link == f"{url}/?delay=960&left_silence=40&guard=0&files_2400=1&noisy=1&model=" + (
            f"{url}/m.gguf".replace(":", "%3A").replace("/", "%2F")
        )
        page.evaluate("localStorage.clear()")
        page.goto(link)
        wait_for(page, "ready")
        expect(at(page, "delay")).to_have_value("960")
        expect(at(page, "left-silence")).to_have_value("40")
        expect(at(page, "guard")).not_to_be_checked()
        expect(at(page, "files-2400")).to_be_checked()
        expect(at(page, "noisy")).to_be_checked()
        at(page, "reset").click()
        expect(at(page, "guard")).to_be_checked()
        at(page, "copy-link").click()
        expect(at(page, "link-copied")).to_contain_text(f"{url}/?model=")
