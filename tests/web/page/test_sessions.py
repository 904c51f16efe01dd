"""What was said is kept: interrupted recordings are offered, and all transcripts are listed.

The fault table in tests/README.md counts what is tried here.
"""

import base64
import json
import os
import random
import signal
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Error, expect

from web.audio.tones import RATE, tone
from web.conftest import browser_of, developer_tools, to_hear
from web.fake_engine import GOOD_GPU, SECOND, answer, at, calls, fed, hear, page_on, prepare, wait_for, wav

TEXT = {"event": "text", "text": " One two three four", "tokens": [33, 1500, 1501], "audio_seconds": 0.4}
MORE = {"event": "text", "text": " five six", "tokens": [33, 1502], "audio_seconds": 0.8}
SPOKEN = {"feed": [{"events": [TEXT]}, {"events": [MORE]}, {}]}
MAY_CLOSE = "dispatchEvent(new Event('beforeunload', { cancelable: true }))"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("sessions") / "clip.wav"
    soundfile.write(path, tone(48000, seconds=20), 48000)
    return path


@pytest.fixture(scope="module")
def hearing(browser, clip):
    """A browser whose microphone plays a tone."""
    browser = browser.browser_type.launch(**to_hear(browser.browser_type, clip))
    yield browser
    browser.close()


def speak(page, seconds):
    """Press Speak, and wait until so much was fed to the engine and its text has come."""
    at(page, "speak").click()
    wait_for(page, "transcribing")
    expect(at(page, "transcript")).to_have_text("One two three four five six")
    page.wait_for_function("samples => window.heard.findLast(h => h.fed)?.fed >= samples", arg=seconds * RATE)


def saved(page, press):
    """The file that the page saves. Playwright does not hear of it in Firefox: there it is what the page hands over."""
    if browser_of(page) == "chromium":
        with page.expect_download() as download:
            press()
        return download.value.path()
    page.evaluate("""() => {
        window.handed = null;
        window.make ??= URL.createObjectURL;
        URL.createObjectURL = (blob) => { handed = blob; return make.call(URL, blob); };
    }""")
    press()
    page.wait_for_function("window.handed")
    data = page.evaluate("async () => new Uint8Array(await handed.arrayBuffer()).toBase64()")
    path = Path(tempfile.mkdtemp()) / "saved"
    path.write_bytes(base64.b64decode(data))
    return path


def sessions(page):
    """As the page reads them."""
    return page.evaluate("async () => (await import('./modules/worker/sessions/sessions.js')).list()")


def entries(page):
    return at(page, "sessions-list").locator("li")


# --- the tab or the browser ends


class Profile:
    """A browser with a profile that outlives it, and whose processes can be killed."""

    def __init__(self, browser, folder, clip):
        self.browser_type, self.folder, self.clip = browser.browser_type, folder, clip

    @contextmanager
    def page(self, url, script):
        context = self.browser_type.launch_persistent_context(self.folder, **to_hear(self.browser_type, self.clip))
        try:
            page = context.new_page()
            prepare(page, script, GOOD_GPU)
            page.goto(f"{url}/?model=self-test")
            wait_for(page, "ready")
            yield page
        finally:
            with suppress(Error):  # it was killed
                context.close()

    def kill(self):
        """kill -9 of all its processes."""
        listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
        for line in listed.splitlines():
            if str(self.folder) in line:
                os.kill(int(line.split()[0]), signal.SIGKILL)


def test_kill_9_of_the_browser_while_speaking(browser, url, clip, tmp_path):
    """At random moments: all that the engine was fed is there, and the text; a block may have come since.

    The recording is offered, and goes on to its end from the text that there is. Every fourth moment is in the first
    half second, often before any text. KILLS=20 in the environment tries more of them.
    """
    kills = int(os.environ.get("KILLS", 2))
    profile = Profile(browser, tmp_path / "profile", clip)
    moments = random.Random(16)
    lost, recorded = [], []  # seconds
    for kill in range(kills):
        with profile.page(url, SPOKEN) as page:
            at(page, "speak").click()
            wait_for(page, "transcribing")
            if kill % 4 < 3:
                expect(at(page, "transcript")).to_have_text("One two three four five six")
                page.wait_for_timeout(moments.uniform(0, 4000))
            else:
                page.wait_for_timeout(moments.uniform(0, 500))
            heard, text = page.evaluate(
                "[heard.findLast(h => h.fed)?.fed ?? 0, document.getElementById('transcript').textContent]"
            )
            profile.kill()
        with profile.page(url, {}) as page:
            unfinished = [session for session in sessions(page) if not session["result"] and session["seconds"]]
            seconds = sum(session["seconds"] for session in unfinished)
            lost.append(max(0, heard / RATE - seconds))
            recorded.append(seconds)
            print(f"kill {kill + 1}: the engine was fed {heard / RATE:.2f} s, {seconds:.2f} s are kept")
            if not seconds:
                continue
            (session,) = unfinished
            expect(at(page, "interrupted")).to_contain_text("A recording of 0:0")
            expect(at(page, "interrupted")).to_contain_text("was interrupted")
            assert session["text"].strip().startswith(text.strip())
            if kill % 4 < 3:
                assert session["text"] == " One two three four five six"
                assert session["tokens"] == [33, 1500, 1501, 33, 1502]
            at(page, "interrupted-transcribe").click()
            expect(at(page, "interrupted")).to_be_hidden()
            wait_for(page, "done")
            assert calls(page, "start")[0]["tokens"] == session["tokens"]
            assert fed(page)[-1]["fed"] == seconds * RATE
            expect(at(page, "transcript")).to_have_text("Hello tab. It works.")
            expect(entries(page).first.get_by_role("button")).to_have_count(2)  # all is written
            expect(entries(page).first).not_to_contain_text("incomplete")
            samples, rate = soundfile.read(saved(page, at(page, "save-wav").click))
            assert rate == RATE and len(samples) == seconds * RATE and abs(samples[:RATE]).max() > 0.05
    print(f"{kills} kills: {sum(map(bool, recorded))} of {sum(recorded):.1f} s recovered, {sum(lost):.3f} s lost")
    assert not any(lost)


def close(page):
    """Without asking."""
    page.close()


def discard(page):
    """As a browser does to save memory: it freezes the tab, and after a while ends its process."""
    developer_tools(page).send("Page.setWebLifecycleState", {"state": "frozen"})
    page.wait_for_timeout(500)
    crash(page)


def crash(page):
    """As when the tab is out of memory."""
    with page.expect_event("crash"), suppress(Error):
        page.goto("chrome://crash")
    page.close()


def test_a_tab_that_ends(hearing, url):
    """Another tab sees the recording as one that is being written, then offers it."""
    with page_on(hearing, url, SPOKEN) as page:
        other = page.context.new_page()
        prepare(other, {}, GOOD_GPU)
        can_crash = browser_of(page) == "chromium"  # through Playwright
        for end, choice in ((close, "save"), (crash, "discard"), (discard, "transcribe")):
            speak(page, 0.5)
            other.goto(f"{url}/?model=self-test")
            wait_for(other, "ready")
            expect(entries(other).first).to_contain_text("in use now")
            expect(at(other, "interrupted")).to_be_hidden()
            expect(entries(other).first.get_by_role("button")).to_have_count(0)
            heard = fed(page)[-1]["fed"]
            end(page) if can_crash else close(page)
            expect(at(other, "interrupted")).to_be_visible()
            expect(at(other, "interrupted")).to_contain_text("with its text up to 0:0")
            if choice == "save":
                samples, _ = soundfile.read(saved(other, at(other, "interrupted-save").click))
                assert len(samples) >= heard
                expect(entries(other).first).to_contain_text("incomplete")
            elif choice == "discard":
                at(other, "interrupted-discard").click()
                expect(at(other, "question")).to_contain_text("Delete “One two three four five six”?")
                at(other, "decline").click()
                expect(at(other, "interrupted")).to_be_visible()
                at(other, "interrupted-discard").click()
                at(other, "confirm").click()
                expect(at(other, "deleted")).to_have_text("The transcript was deleted.")
            else:
                at(other, "interrupted-transcribe").click()
                wait_for(other, "done")
                assert calls(other, "start")[-1]["tokens"] == [33, 1500, 1501, 33, 1502]
                assert fed(other)[-1]["fed"] >= heard
            expect(at(other, "interrupted")).to_be_hidden()
            if choice == "transcribe":
                break
            expect(entries(other)).to_have_count(1)
            page = other.context.new_page()
            prepare(page, SPOKEN, GOOD_GPU)
            page.goto(f"{url}/?model=self-test")
            wait_for(page, "ready")
            expect(at(page, "interrupted")).to_be_hidden()


def test_a_page_that_is_busy_or_frozen(hearing, url):
    """The sound goes to the Worker that keeps it without the page; when the page goes on, it has all of it, too."""
    held = []
    with page_on(hearing, url, SPOKEN) as page:
        other = page.context.new_page()
        other.goto(f"{url}/style.css")
        speak(page, 0.5)
        # The page's thread waits for this answer.
        page.route("**/held", lambda route: held.append(route))
        with page.expect_request("**/held"):
            page.evaluate("""() => setTimeout(() => {
                const request = new XMLHttpRequest();
                request.open("GET", "held", false);
                request.send();
            })""")
        kept = "async () => (await (await import('./modules/worker/sessions/sessions.js')).list())[0].seconds"
        before = other.evaluate(kept)
        other.wait_for_function(f"async (seconds) => await ({kept})() > seconds", arg=before + 1, timeout=30000)
        (route,) = held
        route.fulfill(body="")
        hand = developer_tools(page)
        hand.send("Page.setWebLifecycleState", {"state": "frozen"})
        page.wait_for_timeout(1000)
        hand.send("Page.setWebLifecycleState", {"state": "active"})
        at(page, "stop").click()
        wait_for(page, "done")
        expect(entries(page).first).not_to_contain_text("is being written")
        samples, _ = soundfile.read(saved(page, at(page, "save-wav").click))
        (session,) = sessions(page)
        assert len(samples) == fed(page)[-1]["fed"] == round(session["seconds"] * RATE) > (before + 1) * RATE


# --- asking before the page is left


def test_nothing_unsaved_is_left_without_a_question(hearing, url):
    with page_on(hearing, url, {**SPOKEN, "finish": [{"silent": True}, {}]}) as page:
        assert page.evaluate(MAY_CLOSE)
        speak(page, 0.2)
        assert not page.evaluate(MAY_CLOSE)
        at(page, "stop").click()
        expect(at(page, "status")).to_have_text("The recording has ended. Writing what was said…")
        assert not page.evaluate(MAY_CLOSE)
        answer(page, "finish", result={"result": {"text": "", "audio_seconds": 1, "words": []}, "tokens": []})
        wait_for(page, "done")
        assert page.evaluate(MAY_CLOSE)
        # A recording without words has a name, and can be heard.
        expect(entries(page).first.locator("strong")).to_have_text("Recording")
        expect(at(page, "play")).to_be_visible()
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        assert page.evaluate(MAY_CLOSE)


def test_what_is_edited_in_an_incomplete_text_is_kept(browser, url):
    """While it comes, though the tab is closed then, and after it was stopped; it is asked until it is kept."""
    with page_on(browser, url, {"feed": [{"events": [TEXT]}], "finish": [{"silent": True}]}) as page:
        at(page, "audio-file").set_input_files(SECOND)
        expect(at(page, "transcript")).to_have_text("One two three four")
        at(page, "edit").click()
        page.keyboard.type("Well. ")
        hear(page, **MORE)
        page.reload()
        wait_for(page, "ready")
        expect(entries(page).locator("strong")).to_have_text("clip.wav")
        expect(entries(page).locator(".beginning")).to_have_text("Well. One two three four five six")
        entries(page).get_by_role("button", name="Open").click()
        expect(at(page, "transcript")).to_have_text("Well. One two three four five six")
        expect(at(page, "reading-title")).to_have_text("clip.wav (incomplete)")
        at(page, "edit").click()
        page.keyboard.type("Oh. ")
        assert not page.evaluate(MAY_CLOSE)
        expect(entries(page).locator(".beginning")).to_have_text("Oh. Well. One two three four five six")
        assert page.evaluate(MAY_CLOSE)
        (session,) = sessions(page)
        (edited,) = session["texts"]
        assert edited["paragraphs"][0]["before"] == " One two three four five six" and len(session["tokens"]) == 5


@pytest.mark.parametrize("is_edited", [True, False])
def test_the_times_of_an_incomplete_text_stay(browser, url, is_edited):
    """A paragraph begins with its first word, whose time came later: also when it is opened again, or edited."""
    said = [("One", 0.8), ("two", 2.2), ("three", 62.1), ("four", 63), ("five", 132.6)]
    words = [{"text": text, "start": start, "end": start + 0.2} for text, start in said]
    texts = [(" One two", 2.6), (" three four", 64.1), (" five", 134.2)]
    events = [
        {"event": "text", "text": text, "tokens": [33, 1500 + i], "audio_seconds": seconds}
        for i, (text, seconds) in enumerate(texts)
    ]
    again = [{"event": "words", "words": words[:2]}, {"event": "words", "words": words[2:4]}]
    more = [*again, events[2], {"event": "words", "words": words[4:]}]
    times = "[...document.querySelectorAll('#transcript .time')].map(({ dataset }) => dataset.time)"
    kept = "async () => (await import('./modules/worker/sessions/sessions.js')).list()"

    def open_again(page, wanted):
        page.wait_for_function(
            f"async (wanted) => JSON.stringify((await ({kept})())[0].starts.map(({{ start }}) => start)) === wanted",
            arg=json.dumps(wanted, separators=(",", ":")),
        )
        page.reload()
        wait_for(page, "ready")
        entries(page).get_by_role("button", name="Open").click()

    with page_on(browser, url, {"feed": [{"events": events[:2], "silent": True}]}) as page:
        at(page, "audio-file").set_input_files(SECOND)
        page.wait_for_function(f"{times}.join() === '0:02,1:04'")
        if is_edited:  # before the times are known
            at(page, "edit").click()
            page.keyboard.type("Well. ")
            page.keyboard.press("Escape")
            page.wait_for_function(f"async () => (await ({kept})())[0].text.startsWith('Well.')")
        hear(page, event="words", words=words[:3])
        page.wait_for_function(f"{times}.join() === '0:00,1:02'")
        open_again(page, [0.8, 62.1])
        page.wait_for_function(f"{times}.join() === '0:00,1:02'")
        at(page, "edit").click()
        page.keyboard.type("Oh. ")
        page.keyboard.press("Escape")
        expect(entries(page).locator(".beginning")).to_contain_text("Oh. ")
        open_again(page, [0.8, 62.1])
        page.wait_for_function(f"{times}.join() === '0:00,1:02'")
        # It goes on: the words come again, and nothing of what is known is kept twice.
        prepare(page, {"feed": [{"events": more, "silent": True}]}, GOOD_GPU)
        page.reload()
        wait_for(page, "ready")
        entries(page).get_by_role("button", name="Open").click()
        at(page, "hear-file").set_input_files(SECOND)
        page.locator("#hear-anyway").click()  # it is shorter than its text
        page.wait_for_function(f"{times}.join() === '0:00,1:02,2:12'")
        open_again(page, [0.8, 62.1, 132.6])
        page.wait_for_function(f"{times}.join() === '0:00,1:02,2:12'")


def test_an_interrupted_recording_goes_on_with_its_edits(hearing, url):
    """What the user has edited of it stays, and what is kept in the end has both."""
    last = {"event": "text", "text": " seven.", "tokens": [33, 1503], "audio_seconds": 1}
    said = ["One", "two", "three", "four", "five", "six", "seven."]
    result = {
        "text": f" {' '.join(said)}",
        "audio_seconds": 1,
        "words": [{"text": word, "start": n / 10, "end": n / 10 + 0.1} for n, word in enumerate(said)],
    }
    finish = {"events": [last], "result": {"result": result, "tokens": [1], "subtitles": {"srt": "1\n"}}}
    with page_on(hearing, url, SPOKEN) as page:
        other = page.context.new_page()
        prepare(other, {"finish": [finish]}, GOOD_GPU)
        speak(page, 0.5)
        at(page, "edit").click()
        page.keyboard.type("Well. ")
        page.keyboard.press("Escape")
        other.goto(f"{url}/?model=self-test")
        wait_for(other, "ready")
        text = "async () => (await (await import('./modules/worker/sessions/sessions.js')).list())[0].text"
        other.wait_for_function(f"async () => (await ({text})()).startsWith('Well.')")
        close(page)
        expect(at(other, "interrupted")).to_be_visible()
        at(other, "dismiss-interrupted").click()
        expect(at(other, "interrupted")).to_be_hidden()
        expect(entries(other).locator("strong")).to_have_text("Well. One two three four five six")
        other.reload()
        at(other, "interrupted-transcribe").click()
        wait_for(other, "done")
        assert calls(other, "start")[-1]["tokens"] == [33, 1500, 1501, 33, 1502]
        expect(at(other, "transcript")).to_have_text("Well. One two three four five six seven.")
        expect(entries(other).locator("strong")).to_have_text("Well. One two three four five six seven.")
        (session,) = sessions(other)
        words = session["result"]["words"]
        assert session["result"]["edited"] and [word["text"] for word in words] == ["Well.", *said]
        assert [word["start"] for word in words[1:]] == [n / 10 for n in range(len(said))]


@pytest.mark.parametrize(
    "broken, says",
    [
        (
            # Firefox has no StorageManager in a document that is still blank.
            "if (globalThis.StorageManager) StorageManager.prototype.getDirectory = undefined;",
            "This browser cannot keep anything for this page",
        ),
        (
            "if (globalThis.StorageManager) StorageManager.prototype.getDirectory = "
            "async () => { throw new DOMException('no', 'SecurityError'); };",
            "The browser lets this window keep nothing",
        ),
    ],
    ids=["absent", "refused"],
)
def test_a_browser_that_keeps_nothing(hearing, url, broken, says):
    """All works, and what is there only in the page is not left without a question."""
    with page_on(hearing, url, SPOKEN, gpu=GOOD_GPU + broken) as page:
        patch_writer(page, broken)
        speak(page, 0.2)
        expect(at(page, "not-saved")).to_contain_text(says)
        at(page, "dismiss-not-saved").click()
        at(page, "stop").click()
        wait_for(page, "done")
        expect(at(page, "not-saved")).to_be_hidden()
        assert not page.evaluate(MAY_CLOSE)
        heard = fed(page)[-1]["fed"]
        assert len(soundfile.read(saved(page, at(page, "save-wav").click))[0]) == heard
        # Another text takes its place: it is below, and can be opened again, with all that can be done with it.
        at(page, "audio-file").set_input_files(SECOND)
        expect(at(page, "reading-title")).to_have_text("clip.wav")
        wait_for(page, "done")
        earlier = at(page, "earlier")
        earlier.locator("summary").click()
        expect(earlier.get_by_role("heading")).to_have_text("Your recording")
        earlier.get_by_role("button", name="Open").click()
        expect(at(page, "reading-title")).to_have_text("Your recording")
        expect(at(page, "transcript")).to_have_text("Hello tab. It works.")
        assert saved(page, at(page, "save-srt").click).read_text().startswith("1\n")
        assert len(soundfile.read(saved(page, at(page, "save-wav").click))[0]) == heard
        expect(earlier.get_by_role("heading")).to_have_text("clip.wav")


def patch_writer(page, patch):
    def patched(route):
        answer = route.fetch()
        route.fulfill(response=answer, body=f"{patch};{answer.text()}")

    page.route("**/writer.js", patched)


def test_a_disk_that_gets_full(hearing, url):
    """What was kept until then stays, and the recording goes on in the page."""
    with page_on(hearing, url, SPOKEN) as page:
        patch_writer(
            page,
            """
            const write = FileSystemSyncAccessHandle.prototype.write;
            FileSystemSyncAccessHandle.prototype.write = function (bytes, { at }) {
                return write.call(this, bytes.subarray(0, Math.max(0, 20000 - at) / bytes.BYTES_PER_ELEMENT), { at });
            }
            """,
        )
        speak(page, 1)
        expect(at(page, "not-saved")).to_contain_text("The disk is full")
        at(page, "stop").click()
        wait_for(page, "done")
        assert not page.evaluate(MAY_CLOSE)
        assert len(soundfile.read(saved(page, at(page, "save-wav").click))[0]) == fed(page)[-1]["fed"]
        (session,) = sessions(page)
        assert session["seconds"] == 10000 / RATE and session["text"]


def test_a_disk_without_room(hearing, url):
    """As the browser itself says it: nothing is kept, and all is in the page."""
    with page_on(hearing, url, SPOKEN) as page:
        quota = {"origin": url.removesuffix("/site"), "quotaSize": 1}
        developer_tools(page).send("Storage.overrideQuotaForOrigin", quota)
        speak(page, 0.5)
        expect(at(page, "not-saved")).to_contain_text("The disk is full")
        at(page, "stop").click()
        wait_for(page, "done")
        assert not page.evaluate(MAY_CLOSE)
        assert len(soundfile.read(saved(page, at(page, "save-wav").click))[0]) == fed(page)[-1]["fed"]
        expect(at(page, "transcript")).to_have_text("Hello tab. It works.")


# --- two tabs


def test_two_tabs(hearing, url):
    """Both record at once; one deletes what the other shows, or lists."""
    nothing = {"events": [], "result": {"result": {"text": "", "audio_seconds": 1, "words": []}, "tokens": []}}
    with page_on(hearing, url, {**SPOKEN, "finish": [{}, nothing]}) as page:
        other = page.context.new_page()
        prepare(other, SPOKEN, GOOD_GPU)
        other.goto(f"{url}/?model=self-test")
        wait_for(other, "ready")
        for tab in (page, other):
            speak(tab, 0.5)
        for tab in (page, other):
            at(tab, "stop").click()
            wait_for(tab, "done")
        for tab in (page, other):
            expect(entries(tab)).to_have_count(2)
            expect(entries(tab).get_by_role("button", name="Open")).to_have_count(2)
            assert fed(tab)[-1]["fed"] / RATE in [session["seconds"] for session in sessions(tab)]
        # One of them is shown in the other tab.
        entries(page).first.get_by_role("button", name="Open").click()
        expect(at(page, "transcript")).to_have_text("Hello tab. It works.")
        at(other, "delete-all").click()
        at(other, "confirm").click()
        expect(entries(other)).to_have_count(0)
        expect(entries(page)).to_have_count(0)
        for tab, told in ((page, "The transcript was deleted."), (other, "2 transcripts were deleted.")):
            expect_no_text(tab)
            expect(at(tab, "deleted")).to_have_text(told)
        # One in which nothing was said leaves the list by itself: no tab is told that it was deleted.
        page.evaluate(
            "() => { new BroadcastChannel('voxtab sessions').onmessage = (e) => (window.told ??= []).push(e.data); }"
        )
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        page.wait_for_function("window.told?.length >= 2")  # it was written, and removed
        assert page.evaluate("told.every(({ removed }) => removed === null)")
        assert sessions(page) == []


@contextmanager
def two_tabs(browser, url, script=None):
    """Both show the text of a file that one of them has transcribed; its one session is kept."""
    with page_on(browser, url, script) as page:
        other = page.context.new_page()
        prepare(other, {}, GOOD_GPU)
        at(page, "audio-file").set_input_files(SECOND)
        expect(at(page, "transcript")).not_to_have_text("")
        if script:
            kept = "async () => (await import('./modules/worker/sessions/sessions.js')).list()"
            page.wait_for_function(f"async () => (await ({kept})()).some(({{ text }}) => text)")
            page.reload()
            entries(page).get_by_role("button", name="Open").click()
        else:
            wait_for(page, "done")
        other.goto(f"{url}/?model=self-test")
        wait_for(other, "ready")
        entries(other).get_by_role("button", name="Open").click()
        expect(at(other, "reading-title")).to_contain_text("clip.wav")
        yield page, other


def write(page, text):
    """Before the words of the transcript, which stays editable."""
    at(page, "edit").click()
    page.keyboard.type(text)


def test_a_text_that_another_tab_edits(browser, url):
    """It is shown as it is kept, so that edits of one tab never take the place of the other's unseen."""
    with two_tabs(browser, url) as (page, other):
        at(page, "alternatives").focus()
        write(other, "Well. ")
        expect(at(page, "transcript")).to_have_text("Well. Hello tab. It works.")
        expect(at(page, "deleted")).to_contain_text("changed in another tab, and is shown as it is now.")
        expect(at(page, "play")).to_be_visible()
        expect(at(page, "alternatives")).to_be_focused()
        other.keyboard.type("All. ")
        expect(at(page, "transcript")).to_have_text("Well. All. Hello tab. It works.")
        other.keyboard.press("Escape")
        write(page, "Oh. ")
        expect(at(other, "transcript")).to_have_text("Oh. Well. All. Hello tab. It works.")
        # What this tab writes, and what the other only gives a title, stays as it is.
        page.keyboard.type("Yes. ")
        entries(other).get_by_role("button", name="More").click()
        entries(other).get_by_role("button", name="Rename").click()
        other.get_by_label("Title").fill("A letter")
        other.keyboard.press("Enter")
        expect(entries(page).locator("strong")).to_have_text("A letter")
        expect(at(page, "edit")).to_have_text("Done")
        for tab in (page, other):
            expect(at(tab, "transcript")).to_have_text("Oh. Yes. Well. All. Hello tab. It works.")
        expect(at(page, "earlier")).to_be_hidden()
        (session,) = sessions(page)
        assert session["text"].split() == ["Oh.", "Yes.", "Well.", "All.", "Hello", "tab.", "It", "works."]


def test_a_text_that_both_tabs_edit(browser, url):
    """Whoever writes here loses nothing, and goes on: this text is kept last. The other tab's goes to “Earlier” here.

    The other tab then shows the text that is kept, as it has no edits of its own that are not kept yet.
    """
    with two_tabs(browser, url) as (page, other):
        # A moment after the last key lasts until the test says so.
        page.evaluate("""() => {
            const { setTimeout } = window;
            window.setTimeout = (act, ms) => (ms === 300 ? ((window.late = act), -1) : setTimeout(act, ms));
        }""")
        write(page, "Mine. ")
        write(other, "Theirs. ")
        expect(at(page, "deleted")).to_contain_text("What you write here is kept")
        expect(at(page, "transcript")).to_have_text("Mine. Hello tab. It works.")
        expect(at(page, "edit")).to_have_text("Done")
        expect(at(page, "earlier").locator("article p")).to_have_text("Theirs. Hello tab. It works.")
        expect(at(other, "transcript")).to_have_text("Theirs. Hello tab. It works.")
        page.evaluate("late()")
        expect(at(other, "transcript")).to_have_text("Mine. Hello tab. It works.")
        (session,) = sessions(page)
        assert session["text"].split() == ["Mine.", "Hello", "tab.", "It", "works."]


def test_a_text_that_another_tab_completes(browser, url):
    come = {"event": "text", "text": " One two", "tokens": [33, 1500], "audio_seconds": 1}
    with two_tabs(browser, url, {"feed": [{"events": [come], "silent": True}, {}]}) as (page, other):
        expect(at(page, "reading-title")).to_have_text("clip.wav (incomplete)")
        at(other, "hear-file").set_input_files(SECOND)
        wait_for(other, "done")
        expect(at(page, "transcript")).to_have_text("Hello tab. It works.")
        expect(at(page, "reading-title")).to_have_text("clip.wav")
        expect(at(page, "save-srt")).to_be_visible()
        assert page.evaluate("voxtab.result.text") == " Hello tab. It works."


# --- the list


def expect_no_text(page):
    expect(at(page, "transcript")).to_have_text("")
    for name in ("copy", "save-txt", "save-wav", "again", "play", "earlier", "reading-title"):
        expect(at(page, name)).not_to_be_in_viewport()
    assert page.evaluate("voxtab.result") is None


def delete(page, entry):
    if not entry.get_by_role("button", name="Delete").is_visible():
        entry.get_by_role("button", name="More").click()
    entry.get_by_role("button", name="Delete").click()
    at(page, "confirm").click()


def test_what_was_deleted_is_gone(browser, url):
    """The text that is shown, its file's row, and what is below of an earlier transcription; this is told in sight.

    What is transcribed meanwhile is not deleted.
    """
    texts = [{}, {"events": [TEXT], "silent": True}, {}, {}, {"events": [TEXT], "silent": True}]
    with page_on(browser, url, {"finish": texts}, viewport={"width": 360, "height": 640}) as page:
        rows = at(page, "queue-list").locator("li")
        for name in ("a.wav", "b.wav"):
            at(page, "audio-file").set_input_files(SECOND | {"name": name})
        expect(at(page, "transcript")).to_have_text("One two three four")
        page.get_by_role("button", name="Cancel: b.wav").click()
        wait_for(page, "ready")
        at(page, "audio-file").set_input_files(SECOND | {"name": "c.wav"})
        wait_for(page, "done")
        at(page, "again").click()
        wait_for(page, "done")
        expect(at(page, "earlier")).to_be_visible()
        expect(rows).to_have_count(3)
        expect(entries(page).first.get_by_role("button")).to_have_count(2)  # all is written
        # Of another text than the one that is shown, and of that one.
        page.get_by_role("button", name="Open: b.wav").click()
        expect(at(page, "transcript")).to_have_text("One two three four")
        delete(page, entries(page).first)
        expect(at(page, "deleted")).to_have_text("The transcript was deleted.")
        expect(at(page, "deleted")).to_be_in_viewport(ratio=1)
        expect(at(page, "earlier")).to_be_hidden()
        expect(at(page, "transcript")).to_have_text("One two three four")
        expect(rows).to_have_count(2)
        expect(entries(page)).to_have_count(2)
        delete(page, entries(page).first)
        expect_no_text(page)
        expect(entries(page)).to_have_count(1)
        expect(rows).to_have_count(1)
        # All of them.
        at(page, "audio-file").set_input_files(SECOND | {"name": "d.wav"})
        expect(at(page, "deleted")).to_be_hidden()
        expect(at(page, "transcript")).to_have_text("One two three four")
        page.wait_for_function(
            "async () => (await (await import('./modules/worker/sessions/sessions.js')).list()).length > 1"
        )
        page.evaluate("new BroadcastChannel('voxtab sessions').postMessage({ removed: null })")  # it is listed anew
        expect(entries(page)).to_have_count(2)
        at(page, "delete-all").click()
        at(page, "confirm").click()
        expect(at(page, "deleted")).to_have_text("What is being written now was not deleted: stop it first.")
        expect(at(page, "deleted")).to_be_in_viewport(ratio=1)
        expect(at(page, "transcript")).to_have_text("One two three four")
        expect(entries(page)).to_have_count(1)
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text("d.wav")


def test_nothing_is_said_of_a_deleted_text(browser, url):
    """In the status and below it; what they say of another one stays."""
    held = []
    with page_on(browser, url) as page:
        status, note = at(page, "status"), at(page, "note")
        page.route("**/d.wav", lambda route: held.append(route))

        def delete(name):
            entry = entries(page).filter(has_text=name)
            entry.get_by_role("button", name="More").click()
            entry.get_by_role("button", name="Delete").click()
            at(page, "confirm").click()
            expect(entry).to_have_count(0)

        for name in ("a.wav", "b.wav", "c.wav"):
            at(page, "audio-file").set_input_files(SECOND | {"name": name})
            expect(note).to_contain_text(f"{name}: It is silent")
            expect(entries(page).filter(has_text=name)).to_contain_text("0:01")
        for name in ("a.wav", "c.wav"):
            expect(note).to_contain_text("c.wav: It is silent")
            entries(page).filter(has_text=name).get_by_role("button", name="Open").click()
            expect(at(page, "reading-title")).to_have_text(name)
            delete(name)
        expect(at(page, "transcript")).to_have_text("")
        expect(note).to_be_hidden()
        expect(status).to_contain_text("Ready, with the self-test model")
        wait_for(page, "ready")
        at(page, "audio-file").set_input_files(SECOND | {"name": "c.wav"})
        expect(note).to_contain_text("c.wav: It is silent")
        expect(entries(page).filter(has_text="c.wav")).to_contain_text("0:01")
        page.locator("#more-audio summary").click()
        at(page, "audio-url").fill("https://audio.example/d.wav")
        at(page, "load-audio").click()
        expect(status).to_have_text("Reading d.wav…")
        delete("c.wav")
        expect(note).to_be_hidden()
        expect(status).to_have_text("Reading d.wav…")


def test_an_edited_text_is_kept(browser, url):
    """A moment after the last key; and subtitles are made of it, as the page does before."""
    script = {"subtitles": [{"result": {"srt": "edited", "vtt": "", "tsv": ""}}]}
    with page_on(browser, url, script) as page:
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        at(page, "edit").click()
        page.keyboard.type("Well. ")
        page.keyboard.press("Escape")
        expect(at(page, "edit")).to_have_text("Edit")
        expect(entries(page).locator(".beginning")).to_contain_text("Well.")
        assert page.evaluate(MAY_CLOSE)
        page.reload()
        wait_for(page, "ready")
        entries(page).get_by_role("button", name="Open").click()
        expect(at(page, "transcript")).to_contain_text("Well.")
        assert saved(page, at(page, "save-srt").click).read_text() == "edited"
        # A list that was asked for before, and comes after another, is not shown.
        page.evaluate("""() => new Promise((held) => {
            const { text } = File.prototype;
            File.prototype.text = async function () {
                File.prototype.text = text;
                const found = await text.call(this);
                await new Promise((later) => held(Object.assign(window, { later })));
                return found;
            };
            new BroadcastChannel("voxtab sessions").postMessage({ removed: null });
        }).then(() => {})""")
        entries(page).get_by_role("button", name="More").click()
        entries(page).get_by_role("button", name="Rename").click()
        page.get_by_label("Title").fill("A letter")
        page.keyboard.press("Enter")
        expect(entries(page).get_by_role("button", name="Open A letter")).to_be_visible()
        page.evaluate("() => { later(); return new Promise((resolve) => setTimeout(resolve, 100)); }")
        expect(entries(page).get_by_role("button", name="Open A letter")).to_be_visible()
        exported = json.loads(saved(page, entries(page).get_by_role("button", name="Export").click).read_text())
        assert "Well." in exported["text"] and exported["edited"] and exported["words"]


def test_a_few_words_take_room(browser, url):
    """Which is not 0 kB. Here they are those of a file whose tab was closed."""
    with page_on(browser, url, SPOKEN | {"finish": [{"silent": True}]}) as page:
        at(page, "audio-file").set_input_files(SECOND)
        expect(at(page, "transcript")).to_have_text("One two three four")
        begun = "async () => (await (await import('./modules/worker/sessions/sessions.js')).list()).length"
        page.wait_for_function(begun)  # its folder is there a moment after its first words
        page.reload()
        wait_for(page, "ready")
        expect(entries(page)).to_contain_text("One two three four")
        expect(at(page, "sessions-room")).to_have_text("They take 1 kB.")


def test_a_text_is_read_without_a_model(browser, url):
    """At a later visit that opens none: the welcome makes room for it."""
    with page_on(browser, url, SPOKEN) as page:
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        expect(entries(page)).to_have_count(1)
        page.goto(f"{url}/")
        wait_for(page, "ready")
        expect(at(page, "welcome")).to_be_visible()
        entries(page).get_by_role("button", name="Open").click()
        expect(at(page, "transcript")).to_be_visible()
        expect(at(page, "status")).to_have_text("Get the model to begin.")
        expect(at(page, "speak")).to_be_hidden()
        at(page, "get").click()
        page.wait_for_function("window.heard.some(({ call }) => call?.verb === 'open' && call.model)")
        expect(at(page, "get")).to_be_hidden()
        expect(at(page, "transcript")).to_be_visible()
        expect(at(page, "transcript")).to_have_text("Hello tab. It works.")
        expect(at(page, "welcome")).to_be_hidden()


def test_an_interrupted_recording_waits_for_a_model(hearing, url):
    """The sentence that says so is below the welcome, and comes into sight."""
    with page_on(hearing, url, SPOKEN, viewport={"width": 1100, "height": 600}) as page:
        speak(page, 0.5)
        page.goto(f"{url}/")
        wait_for(page, "ready")
        at(page, "interrupted").get_by_role("button", name="Transcribe").click()
        expect(at(page, "note")).to_have_text("Your recording will be transcribed once the model is open.")
        expect(at(page, "note")).to_be_in_viewport()
        expect(entries(page)).to_contain_text("in use now")


def test_the_list(hearing, url):
    """Of a recording and of a file: opened, renamed, exported, deleted, also after the page was opened again."""
    with page_on(hearing, url, SPOKEN, viewport={"width": 1100, "height": 900}) as page:
        speak(page, 0.5)
        at(page, "stop").click()
        wait_for(page, "done")
        samples = fed(page)[-1]["fed"]
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        expect(entries(page)).to_have_count(2)
        expect(entries(page).first.get_by_role("button")).to_have_count(2)
        page.reload()
        wait_for(page, "ready")
        expect(at(page, "interrupted")).to_be_hidden()
        expect(entries(page)).to_have_count(2)
        file, recording = entries(page).all()
        expect(file).to_contain_text("clip.wav")
        expect(recording).to_contain_text("recorded here")
        expect(at(page, "sessions-room")).to_contain_text("kB")

        recording.get_by_role("button", name="More").click()
        recording.get_by_role("button", name="Rename").click()
        expect(page.locator("input:focus")).to_have_attribute("dir", "auto")
        page.get_by_label("Title").fill("A letter")
        page.keyboard.press("Enter")
        expect(recording.locator("strong")).to_have_text("A letter")
        expect(recording.get_by_role("button", name="Open A letter")).to_be_visible()
        exported = json.loads(saved(page, recording.get_by_role("button", name="Export").click).read_text())
        assert exported["title"] == "A letter" and exported["text"] == " Hello tab. It works." and exported["words"]

        # While a title is written, all stays where it is: what is pressed gets its click.
        file.get_by_role("button", name="More").click()
        for name, pressed in (
            ("My clip", at(page, "delete-all")),
            ("clip.wav", recording.get_by_role("button", name="More")),
        ):
            file.get_by_role("button", name="Rename").click()
            page.get_by_label("Title").fill(name)
            pressed.click(delay=300)
            expect(file.get_by_role("button", name=f"Open {name}")).to_be_visible()
        expect(at(page, "question")).to_contain_text("Delete all 2 transcripts, with the recordings made here?")
        at(page, "decline").click()
        expect(recording.get_by_role("button", name="Rename")).to_be_visible()

        recording.get_by_role("button", name="Open").click()
        expect(at(page, "transcript")).to_have_text("Hello tab. It works.")
        assert len(soundfile.read(saved(page, at(page, "save-wav").click))[0]) == samples
        assert saved(page, at(page, "save-srt").click).read_text().startswith("1\n")
        at(page, "again").click()  # into the same session
        wait_for(page, "done")
        assert fed(page)[-1]["fed"] == samples
        expect(recording).to_contain_text("A letter")
        expect(entries(page)).to_have_count(2)
        expect(file.get_by_role("button", name="Open")).to_be_visible()
        file.get_by_role("button", name="Open").click()
        expect(at(page, "save-wav")).to_be_hidden()
        expect(at(page, "again")).to_be_hidden()
        expect(at(page, "reading-title")).to_have_text("clip.wav")
        # Its sound is not kept: the file is chosen again.
        expect(at(page, "no-audio")).to_contain_text("To hear it, choose the file again.")
        at(page, "hear-file").set_input_files({"name": "long.wav", "mimeType": "", "buffer": wav(bytes(320000))})
        expect(at(page, "no-audio")).to_contain_text("long.wav is 0:10 long, and this text is of 0:01")
        expect(at(page, "hear-anyway")).to_be_visible()
        expect(at(page, "player")).to_be_hidden()
        at(page, "hear-file").focus()
        at(page, "hear-file").set_input_files(SECOND)
        expect(at(page, "player")).to_be_visible()
        expect(at(page, "play")).to_be_focused()
        expect(at(page, "no-audio")).to_be_hidden()

        recording.get_by_role("button", name="Delete").click()
        expect(at(page, "question")).to_contain_text("Delete “A letter”?")
        expect(at(page, "confirm")).to_have_class("danger")
        at(page, "decline").click()
        expect(entries(page)).to_have_count(2)
        recording.get_by_role("button", name="Delete").click()
        at(page, "confirm").click()
        expect(entries(page)).to_have_count(1)
        page.get_by_role("button", name="Delete all").click()
        at(page, "confirm").click()
        expect(entries(page)).to_have_count(0)
        assert sessions(page) == []
        expect(page.get_by_text("None yet. What you say")).to_be_visible()


def listed_anew(page):
    """As after a change in another tab; returns once the list is there."""
    page.evaluate("""() => {
        document.querySelector("#sessions-list li").dataset.old = "";
        new BroadcastChannel("voxtab sessions").postMessage({ removed: null });
    }""")
    expect(page.locator("#sessions-list [data-old]")).to_have_count(0)


def test_the_keyboards_focus_stays_in_the_list(browser, url):
    """When the list is made anew, a title was written, or a question was answered."""
    with page_on(browser, url) as page:
        for name in ("a.wav", "b.wav", "c.wav"):
            at(page, "audio-file").set_input_files(SECOND | {"name": name})
            expect(at(page, "note")).to_contain_text(f"{name}: It is silent")
        expect(entries(page)).to_have_count(3)
        expect(entries(page).get_by_role("button", name="Open")).to_have_count(3)  # all is written
        second = entries(page).nth(1)
        more, rename, remove = (second.get_by_role("button", name=name) for name in ("More", "Rename", "Delete"))
        more.focus()
        listed_anew(page)
        expect(more).to_be_focused()
        page.keyboard.press("Enter")
        listed_anew(page)
        expect(more).to_be_focused()
        page.keyboard.press("Tab")
        expect(rename).to_be_focused()
        for key, title in (("Escape", "b.wav"), ("Enter", "A letter")):
            page.keyboard.press("Enter")
            page.get_by_label("Title").fill("A letter")
            page.keyboard.press(key)
            expect(second.locator("strong")).to_have_text(title)
            expect(second.get_by_role("button", name=f"Open {title}")).to_be_visible()
            expect(page.get_by_label("Title")).to_have_count(0)
            expect(rename).to_be_focused()
        remove.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#question-text")).to_be_focused()
        at(page, "decline").press("Enter")
        expect(remove).to_be_focused()
        page.keyboard.press("Enter")
        at(page, "confirm").press("Enter")
        expect(entries(page)).to_have_count(2)
        expect(second.get_by_role("button", name="Open")).to_be_focused()  # of the next entry
        # The button is gone with all entries: what tells it has the focus.
        at(page, "delete-all").press("Enter")
        at(page, "confirm").press("Enter")
        expect(entries(page)).to_have_count(0)
        expect(at(page, "dismiss-deleted")).to_be_focused()


def test_transcripts_are_searched(browser, url):
    """Once there are several: by title, file and text, however a letter is written; the list stays right meanwhile."""
    said = [" The budget of \u0958लम.", " Trees.", " Rain.", " CAFE\u0301 au lait.", " Nothing."]
    finish = [{"result": {"result": {"text": text, "words": [], "audio_seconds": 1}, "tokens": []}} for text in said]
    script = {"finish": [entry | {"events": []} for entry in finish]}
    with page_on(browser, url, script) as page:
        field, found = at(page, "sessions-find"), at(page, "sessions-found")
        for number, text in enumerate(said[:4]):
            at(page, "audio-file").set_input_files(SECOND | {"name": f"part {number}.wav"})
            expect(entries(page).locator(".beginning").first).to_have_text(text.strip())
            wait_for(page, "done")
        expect(field).to_be_hidden()
        at(page, "audio-file").set_input_files(SECOND | {"name": "Board.wav"})
        expect(entries(page)).to_have_count(5)
        wait_for(page, "done")
        for wanted, place in (("BUDGET of", 0), ("\u0915\u093cलम", 0), ("café", 3), ("board", 4)):
            field.fill(f" {wanted} ")
            expect(found).to_have_text("1 transcript found.")
            expect(entries(page).locator(".beginning")).to_have_text([said[place].strip()])
        field.fill("zebra")
        expect(found).to_have_text("No transcript has these words.")
        expect(entries(page)).to_have_count(0)
        # It is opened at the words. Where only its name has them, they are not sought in it.
        field.fill("trees")
        entries(page).get_by_role("button", name="Open").click()
        expect(at(page, "find")).to_have_value("trees")
        expect(at(page, "found")).to_have_text("1 of 1")
        assert page.evaluate("[...CSS.highlights.get('found-now')].map(String)") == ["Trees"]
        field.fill("part 2")
        entries(page).get_by_role("button", name="Open").click()
        expect(at(page, "transcript")).to_have_text("Rain.")
        expect(at(page, "find")).to_have_value("")
        expect(at(page, "found")).to_have_text("")
        # Renamed; and listed anew, as after a change in another tab, while the user types.
        entries(page).get_by_role("button", name="More").click()
        entries(page).get_by_role("button", name="Rename").click()
        page.get_by_label("Title").fill("A zebra")
        page.keyboard.press("Enter")
        expect(entries(page).locator("strong")).to_have_text(["A zebra"])
        field.fill("zebr")
        page.evaluate("new BroadcastChannel('voxtab sessions').postMessage({ removed: null })")
        field.press_sequentially("a")
        expect(found).to_have_text("1 transcript found.")
        expect(field).to_be_focused()
        assert field.evaluate("field => field.dir") == "auto"
        # What is not shown is counted too. The field stays as long as something is sought in few.
        at(page, "delete-all").click()
        expect(at(page, "question")).to_contain_text("Delete all 5 transcripts?")
        at(page, "decline").click()
        entries(page).get_by_role("button", name="Delete").click()
        at(page, "confirm").click()
        expect(found).to_have_text("No transcript has these words.")
        field.fill("")
        expect(entries(page)).to_have_count(4)
        expect(found).to_have_text("")
        expect(field).to_be_focused()
        field.fill("rain")
        at(page, "delete-all").click()
        at(page, "confirm").click()
        expect(page.get_by_text("None yet. What you say")).to_be_visible()
        expect(field).to_be_hidden()


def test_another_file_is_not_taken_in_silence(browser, url):
    """One of another length, or of another name: it is said, and the user may use it all the same."""
    with page_on(browser, url) as page:
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        expect(entries(page).get_by_role("button", name="Open")).to_be_visible()  # all is written
        page.reload()
        wait_for(page, "ready")
        entries(page).get_by_role("button", name="Open").click()
        expect(at(page, "no-audio")).to_contain_text("To hear it, choose the file again.")
        expect(at(page, "hear-anyway")).to_be_hidden()
        for name, seconds, doubt in (
            ("clip.wav", 3, "clip.wav is 0:03 long, and this text is of 0:01: it is probably another recording."),
            (
                "other.wav",
                1,
                "This text was made of clip.wav: is other.wav the same recording?",
            ),
        ):
            at(page, "hear-file").set_input_files({"name": name, "mimeType": "", "buffer": wav(bytes(32000 * seconds))})
            expect(at(page, "no-audio")).to_contain_text(doubt)
            expect(at(page, "player")).to_be_hidden()
        at(page, "hear-anyway").click()
        expect(at(page, "player")).to_be_visible()
        expect(at(page, "play")).to_be_focused()
        expect(at(page, "no-audio")).to_be_hidden()
        # The number of transcripts that a question is about; and recordings only where there are some.
        at(page, "delete-all").click()
        expect(page.locator("#question-text")).to_have_text("Delete the transcript?")


def test_an_incomplete_text_of_a_file_goes_on(browser, url):
    """The file is chosen again: the engine does not write again what is there. Another file is not taken in silence."""
    come = {"event": "text", "text": " One two", "tokens": [33, 1500], "audio_seconds": 1}
    with page_on(browser, url, {"feed": [{"events": [come], "silent": True}, {}]}) as page:
        at(page, "audio-file").set_input_files(SECOND)
        expect(at(page, "transcript")).to_contain_text("One two")
        kept = "async () => (await import('./modules/worker/sessions/sessions.js')).list()"
        page.wait_for_function(f"async () => (await ({kept})()).some(({{ text }}) => text)")
        page.reload()
        wait_for(page, "ready")
        entries(page).get_by_role("button", name="Open").click()
        expect(at(page, "no-audio")).to_contain_text("The text ends at 0:01")
        at(page, "hear-file").set_input_files({**SECOND, "name": "other.wav"})
        expect(at(page, "no-audio")).to_contain_text("is other.wav the same recording?")
        assert not calls(page, "start")
        at(page, "hear-file").set_input_files(SECOND)
        page.wait_for_function("window.heard.some(({ fed }) => fed)")
        answer(page, "feed")
        wait_for(page, "done")
        assert calls(page, "start")[-1]["tokens"] == [33, 1500]
        expect(at(page, "no-audio")).to_be_hidden()
        (session,) = sessions(page)
        assert session["result"] and session["name"] == "clip.wav"


def test_a_stopped_text_goes_on(hearing, url):
    """It is heard meanwhile, and copied with its times. It goes on with what was edited, and is there once."""
    script = SPOKEN | {"finish": [{"silent": True}, {}]}
    with page_on(hearing, url, script) as page:
        speak(page, 0.5)
        at(page, "stop").click()
        expect(at(page, "transcript")).to_have_text("One two three four five six")
        at(page, "stop").click()
        wait_for(page, "ready")
        expect(at(page, "go-on")).to_have_text("Go on from 0:00")
        expect(at(page, "copy-times")).to_be_visible()
        page.evaluate("HTMLMediaElement.prototype.play = async () => {}")
        at(page, "transcript").locator(".time").first.click()
        expect(at(page, "player")).to_be_visible()
        at(page, "edit").click()
        page.keyboard.type("Well. ")
        page.keyboard.press("Escape")
        expect(entries(page).locator("strong")).to_have_text("Well. One two three four five six")
        at(page, "go-on").click()
        wait_for(page, "done")
        assert calls(page, "start")[-1]["tokens"] == [33, 1500, 1501, 33, 1502]
        expect(at(page, "transcript")).to_contain_text("Well. One two")
        expect(at(page, "go-on")).to_be_hidden()
        expect(at(page, "earlier")).to_be_hidden()
        expect(entries(page)).to_have_count(1)


def test_a_text_of_the_queue_that_got_a_title_elsewhere(browser, url):
    """Its words are the same, so that nothing is said of it."""
    with page_on(browser, url) as page:
        for name in ("a.wav", "b.wav"):
            at(page, "audio-file").set_input_files({**SECOND, "name": name})
            expect(at(page, "reading-title")).to_have_text(name)
            wait_for(page, "done")
        expect(entries(page).get_by_role("button", name="Open")).to_have_count(2)  # all is written
        at(page, "queue-list").get_by_role("button", name="Open: a.wav").click()
        expect(at(page, "reading-title")).to_have_text("a.wav")
        (written,) = [session["id"] for session in sessions(page) if session["name"] == "a.wav"]
        tell = "id => new BroadcastChannel('voxtab sessions').postMessage({ removed: null, written: id })"
        page.evaluate(tell, written)
        page.wait_for_timeout(1000)
        expect(at(page, "deleted")).to_be_hidden()


def test_the_file_of_a_text_is_still_in_this_tab(browser, url):
    """Opened from the list, it is heard without choosing the file again."""
    with page_on(browser, url) as page:
        for name in ("a.wav", "b.wav"):
            at(page, "audio-file").set_input_files({**SECOND, "name": name})
            expect(at(page, "reading-title")).to_have_text(name)
            wait_for(page, "done")
        entries(page).get_by_role("button", name="Open").nth(1).click()
        expect(at(page, "reading-title")).to_have_text("a.wav")
        expect(at(page, "player")).to_be_visible()
        expect(at(page, "no-audio")).to_be_hidden()


def test_the_oldest_is_offered_for_removal(hearing, url):
    """Never removed unasked. Here the list is large with 40 kB."""
    with page_on(hearing, url, SPOKEN, state=None) as page:
        page.route("**/page/main.js", small_list)
        for seconds in (0.5, 1):
            page.reload()
            wait_for(page, "ready")
            speak(page, seconds)
            at(page, "stop").click()
            wait_for(page, "done")
        expect(at(page, "sessions-large")).to_contain_text("Your transcripts take")
        newest, oldest = sessions(page)
        at(page, "delete-oldest").click()
        at(page, "confirm").click()
        expect(entries(page)).to_have_count(1)
        assert [session["id"] for session in sessions(page)] == [newest["id"]]


def small_list(route):
    answer = route.fetch()
    text = answer.text()
    assert "LARGE = 2e9;" in text
    route.fulfill(response=answer, body=text.replace("LARGE = 2e9;", "LARGE = 4e4;"))


def test_sound_that_the_system_dropped(hearing, checkout_url):
    """It is told with its place, in the page and in the list."""
    with page_on(hearing, checkout_url, SPOKEN) as page:
        speak(page, 0.3)
        # As if the clock of the wall had gone on by 3 s while the sound stood still.
        page.evaluate("""async () => {
            const { Clock } = await import("./audio/clock.js");
            const take = Clock.prototype.take;
            Clock.prototype.take = function (seconds, wall) { return take.call(this, seconds, wall + 3); };
        }""")
        expect(at(page, "error")).to_contain_text("Your system gave no sound for 3", timeout=15000)
        expect(at(page, "error")).to_contain_text("at 0:0")
        at(page, "stop").click()
        wait_for(page, "done")
        gaps = entries(page).first.locator("details")
        expect(gaps.locator("summary")).to_contain_text("missing in")
        gaps.locator("summary").click()
        expect(gaps).to_contain_text("s at 0:0")


# --- the log


def test_mutated_logs(browser, url):
    """Whatever a log has become, it is read without an error, and never gives tokens with some of them missing."""
    rng = np.random.default_rng(16)
    lines = [
        {"begun": "2026-11-29T11:00:00.000Z", "name": "microphone"},
        {"run": {"model": "m", "delay_ms": 480, "left_silence_tokens": 32}},
        *({"text": f" {i}", "tokens": [33, 1000 + i], "from": 2 * i, "covered": i} for i in range(5)),
        {"starts": [{"letters": 0, "start": 0.1}, {"letters": 4, "start": 3.5}]},
        {"gap": {"at": 3, "seconds": 1.5}},
        {"edits": {"text": " 0 1 2 3, 4", "paragraphs": [{"text": " 0 1 2 3, 4", "before": " 0 1 2 3 4", "start": 0}]}},
    ]
    log = "".join(json.dumps(line) + "\n" for line in lines).encode()
    mutated = []
    for _ in range(3000):
        changed = bytearray(log)
        for place in rng.integers(0, len(log), rng.integers(1, 4)):
            changed[place] = rng.integers(0, 256)
        mutated.append(bytes(changed[: rng.integers(0, len(log) + 1)] if rng.random() < 0.5 else changed))
    deep = ["[" * 100_000, '{"text": ' * 50_000, "", "\n\n", '{"gap": {"at": 1e999}}', "null\n[]\n7\n"]
    page = browser.new_page()
    page.goto(f"{url}/style.css")
    read = page.evaluate(
        """async ([mutated, deep]) => {
            const { parse } = await import("./modules/worker/sessions/log.js");
            return Promise.all([...mutated.map(atob), ...deep].map((text) => parse(text)));
        }""",
        [[base64.b64encode(text).decode() for text in mutated], deep],
    )
    page.close()
    whole = [33, 1000, 33, 1001, 33, 1002, 33, 1003, 33, 1004]
    for log in read:
        assert all(value >= 0 for each in log["starts"] for value in (each["letters"], each["start"]))
        assert isinstance(log["text"], str) and len(log["tokens"]) <= len(whole) and len(log["tokens"]) % 2 == 0
    assert sum(log["tokens"] == whole for log in read) > 100 and sum(log["tokens"] == [] for log in read) > 100
