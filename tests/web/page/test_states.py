"""What the page shows and does when all goes well."""

import pytest
from playwright.sync_api import expect

from web.fake_engine import GOOD_GPU, MODEL, SECOND, answer, at, calls, drop, fed, hear, page_on, wait_for, wav


def test_shows_itself_before_python(browser, url):
    with page_on(browser, url, {"boots": False, "open": [{"silent": True}]}, state="loading") as page:
        expect(at(page, "status")).to_have_text("Starting the engine…")
        page.wait_for_function("performance.getEntriesByType('paint').length")
        expect(page.get_by_text("Audio and text never leave this machine.")).to_be_visible()
        expect(at(page, "speak")).to_be_disabled()
        hear(page, event="progress", stage="python", done=1, total=1)
        expect(at(page, "status")).to_have_text("Loading the self-test model…")


def test_ready_with_the_self_test_model(browser, url):
    with page_on(browser, url) as page:
        assert calls(page, "open")[0]["model"] is None
        expect(at(page, "model")).to_contain_text("letters, digits, dates, commands")
        expect(at(page, "speak")).to_be_enabled()
        expect(at(page, "delay")).to_have_value("480")
        expect(at(page, "left-silence")).to_have_value("32")
        expect(at(page, "warning")).to_be_hidden()


def test_a_model_that_is_opened_far_below(browser, url):
    """By the keyboard too: one is where one works then. A model that is open cannot be opened."""
    with page_on(browser, url, query="", viewport={"width": 700, "height": 700}) as page:
        own, known = at(page, "use-self-test"), at(page, "known-models").get_by_role("button").first
        for use in (own, known):
            use.focus()
            expect(at(page, "status")).not_to_be_in_viewport()
            page.keyboard.press("Enter")
            expect(at(page, "speak")).to_be_focused()
            for shown in ("speak", "status", "transcript"):
                expect(at(page, shown)).to_be_in_viewport()
            expect(use).to_be_disabled()
        expect(own).to_be_enabled()
        own.click()
        expect(own).to_be_disabled()
        expect(known).to_be_enabled()


def test_progress_in_bytes(browser, url):
    script = {
        "open": [
            {
                "events": [{"event": "progress", "stage": "weights", "done": 1200000000, "total": 2511866880}],
                "silent": True,
            }
        ]
    }
    with page_on(browser, url, script, state="loading") as page:
        expect(at(page, "progress")).to_contain_text("1.20 GB of 2.51 GB")
        expect(at(page, "stop")).to_have_text("Stop")


def test_file(browser, url):
    with page_on(browser, url) as page:
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        assert at(page, "transcript").text_content() == " Hello tab. It works."
        assert page.evaluate("voxtab.tokens") == [1, 32, 33]
        assert calls(page, "start") == [
            {
                "id": 2,
                "verb": "start",
                "delay_ms": 480,
                "left_silence_tokens": 32,
                "guard": True,
                "alternatives": 0,
                "tokens": [],
            }
        ]
        assert fed(page)[-1]["fed"] == 16000
        expect(at(page, "save-wav")).to_be_hidden()


def test_several_files_one_after_the_other(browser, url):
    """The earlier ones are in the list, as they were edited; what is not kept there is below the text."""
    with page_on(browser, url) as page:
        for n in range(2):
            at(page, "audio-file").set_input_files(SECOND)
            expect(at(page, "sessions-list").locator("li")).to_have_count(n + 1)
            wait_for(page, "done")
        assert at(page, "transcript").text_content() == " Hello tab. It works."
        earlier = at(page, "earlier")
        expect(earlier).to_be_hidden()
        at(page, "edit").click()
        page.keyboard.type("Well. ")
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        expect(at(page, "sessions-list").locator(".beginning").nth(1)).to_contain_text("Well.")
        page.evaluate("StorageManager.prototype.getDirectory = undefined")
        for n in range(2):
            at(page, "audio-file").set_input_files(SECOND)
            expect(earlier.locator("article")).to_have_count(n)
            wait_for(page, "done")
        for n in (3, 4, 3, 4):  # the last two files are not kept: the one that is not shown is below
            row = at(page, "queue-list").locator("li").nth(n)
            row.get_by_role("button").first.click()
            expect(row).to_have_attribute("aria-current", "true")
            expect(earlier.locator("article")).to_have_count(1)
        earlier.locator("summary").click()
        expect(earlier.get_by_role("heading").first).to_have_text("clip.wav")
        expect(earlier.locator("p")).to_contain_text(["Hello tab. It works."])


def test_file_before_the_model(browser, url):
    with page_on(browser, url, {"open": [{"silent": True}]}, state="loading") as page:
        at(page, "audio-file").set_input_files(SECOND)
        expect(at(page, "queue-waits")).to_contain_text("This begins by itself as soon as a model is open.")
        expect(at(page, "queue-get")).to_be_hidden()  # it comes
        answer(page, "open", result=MODEL)
        wait_for(page, "done")


def test_dropped_audio(browser, url):
    with page_on(browser, url) as page:
        drop(page, ("clip.wav", wav(bytes(3200))))
        wait_for(page, "done")


def test_dropped_model(browser, url):
    with page_on(browser, url) as page:
        drop(page, ("voxtral-q4.gguf", b"GGUF"), ("tekken.json", b"{}"))
        expect(at(page, "status")).to_have_text("Ready, with voxtral-q4.gguf.")
        expect(at(page, "model")).to_have_text("voxtral-q4.gguf, 2.51 GB.")
        assert "files" in calls(page, "open")[1]["model"]


def test_a_model_whose_files_come_one_after_the_other(browser, url):
    """What the engine misses is added to what was chosen; other weights are another model."""
    missing = {"error": {"kind": "tokenizer", "message": "Now choose its tekken.json too."}}
    with page_on(browser, url, {"open": [{}, missing, {}]}) as page:
        drop(page, ("config.json", b"{}"))
        expect(at(page, "error")).to_contain_text("You have chosen config.json: now choose the model too")
        drop(page, ("shard-aa", b"GGUF"), ("shard-ab", b"x"))
        expect(at(page, "error")).to_contain_text("Now choose its tekken.json too.")
        drop(page, ("tekken.json", b"{}"))
        expect(at(page, "status")).to_have_text("Ready, with voxtral-q4.gguf.")
        expect(at(page, "error")).to_be_hidden()
        first, second = calls(page, "open")[1:]
        assert first["tokenizer"] is None and len(first["model"]["files"]) == len(second["model"]["files"]) == 2
        assert "file" in second["tokenizer"]
        drop(page, ("other.gguf", b"GGUF"))
        expect(at(page, "model")).to_contain_text("voxtral-q4.gguf")
        assert calls(page, "open")[3]["tokenizer"] is None and len(calls(page, "open")[3]["model"]["files"]) == 1


def test_model_by_address(browser, url):
    with page_on(browser, url) as page:
        expect(page.get_by_text("the model is fetched from huggingface.co")).to_be_visible()
        at(page, "model-url").fill("https://models.example/voxtral.gguf")
        expect(page.get_by_text("the model is fetched from models.example")).to_be_visible()
        at(page, "load-url").click()
        expect(at(page, "status")).to_have_text("Ready, with voxtral-q4.gguf.")
        assert calls(page, "open")[1]["model"] == {"url": "https://models.example/voxtral.gguf"}
        assert calls(page, "open")[1]["tokenizer"] is None


def test_an_address_is_written_while_the_catalogue_comes(browser, url):
    held = """
        const { fetch } = window;
        const come = new Promise((resolve) => { window.comes = resolve; });
        window.fetch = async (...all) => {
            if (String(all[0]).endsWith("catalogue.json")) await come;
            return fetch(...all);
        };"""
    with page_on(browser, url, gpu=GOOD_GPU + held) as page:
        at(page, "model-url").focus()
        page.evaluate("window.comes()")
        expect(at(page, "known-models").locator("li").first).to_be_attached()
        page.keyboard.type("https://models.example/voxtral.gguf")
        expect(at(page, "model-url")).to_have_value("https://models.example/voxtral.gguf")


def test_link(browser, url):
    query = "?model=models/a.gguf&tokenizer=t.json&audio=test.wav&delay=960&left_silence=40&autostart=1"
    with page_on(browser, url, query=query, state=None) as page:
        page.route("**/test.wav", lambda route: route.fulfill(body=wav(bytes(3200))))
        page.reload()
        wait_for(page, "done")
        asked = calls(page, "open")[0]
        assert asked["model"] == {"url": f"{url}/models/a.gguf"} and asked["tokenizer"] == {"url": f"{url}/t.json"}
        assert calls(page, "start")[0]["delay_ms"] == 960 and calls(page, "start")[0]["left_silence_tokens"] == 40


def test_link_without_autostart(browser, url):
    with page_on(browser, url, query="?audio=test.wav", state=None) as page:
        page.route("**/test.wav", lambda route: route.fulfill(body=wav(bytes(3200))))
        page.reload()
        wait_for(page, "ready")
        assert not calls(page, "start")
        page.get_by_role("button", name="Transcribe test.wav").click()
        wait_for(page, "done")


@pytest.mark.parametrize("answer", ["confirm", "decline"])
def test_link_to_another_host_asks_first(browser, url, answer):
    with page_on(browser, url, query="?model=https://models.example/a.gguf&autostart=1", state=None) as page:
        expect(at(page, "question")).to_contain_text("from models.example")
        expect(at(page, "confirm")).to_have_text("Fetch from models.example")
        assert not calls(page, "open")
        at(page, answer).click()
        wait_for(page, "ready")
        (asked,) = calls(page, "open")
        assert asked["model"] == ({"url": "https://models.example/a.gguf"} if answer == "confirm" else None)
        assert not calls(page, "start")


def test_settings(browser, url):
    with page_on(browser, url) as page:
        delay = at(page, "delay")
        assert [delay.get_attribute(name) for name in ("min", "max", "step")] == ["80", "2400", "80"]
        # There is nothing between 1200 and 2400, whichever way one comes; and each delay has its figures beside it.
        delay.fill("1200")
        delay.press("ArrowRight")
        expect(delay).to_have_value("2400")
        expect(at(page, "delay-help")).to_contain_text("6.73 (English 4.05)")
        delay.press("ArrowLeft")
        expect(delay).to_have_value("1200")
        expect(at(page, "delay-help")).to_contain_text("between 6.73 (English 4.05) and 7.7 (English 4.34)")
        delay.fill("2400")
        at(page, "left-silence").fill("76")
        at(page, "left-silence").blur()
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        assert calls(page, "start")[0]["delay_ms"] == 2400 and calls(page, "start")[0]["left_silence_tokens"] == 76
        # Remembered, until they are reset.
        page.reload()
        expect(delay).to_have_value("2400")
        expect(at(page, "left-silence")).to_have_value("76")
        at(page, "reset").click()
        expect(at(page, "delay-shown")).to_have_text("480 ms")
        page.reload()
        wait_for(page, "ready")
        expect(delay).to_have_value("480")
        expect(at(page, "left-silence")).to_have_value("32")
        expect(at(page, "reset")).to_be_hidden()
    # Also those of a link: its address asks for them no more.
    with page_on(browser, url, query="?model=self-test&delay=2400&noisy=1") as page:
        at(page, "reset").click()
        page.reload()
        wait_for(page, "ready")
        expect(at(page, "delay")).to_have_value("480")
        assert page.url.endswith("?model=self-test")


def test_a_models_own_defaults(browser, url):
    script = {"open": [{"result": {"name": "m", "model_bytes": 1, "default_delay_ms": 160, "left_silence_tokens": 39}}]}
    with page_on(browser, url, script) as page:
        expect(at(page, "delay")).to_have_value("160")
        expect(at(page, "left-silence")).to_have_value("39")


def test_copy_and_save(browser, url):
    with page_on(browser, url, permissions=["clipboard-read", "clipboard-write"]) as page:
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        at(page, "copy").click()
        expect(at(page, "copy")).to_have_text("Copied.")
        expect(at(page, "status")).to_contain_text("Done")
        expect(at(page, "reading-title")).to_have_text("clip.wav")
        assert page.evaluate("navigator.clipboard.readText()") == "Hello tab. It works."
        saved = {}
        for kind in ("txt", "srt", "vtt"):
            with page.expect_download() as download:
                at(page, f"save-{kind}").click()
            assert download.value.suggested_filename == f"clip.{kind}"
            saved[kind] = download.value.path().read_text(encoding="utf-8")
        assert saved == {
            "txt": "Hello tab. It works.\n",
            "srt": "1\n00:00:00,100 --> …",
            "vtt": "WEBVTT\n\n00:00:00.100 --> …",
        }


def test_no_subtitles_where_there_are_no_words(browser, url):
    result = {"text": "", "words": [], "audio_seconds": 1}
    answer = {"result": result, "subtitles": {"srt": "", "vtt": "WEBVTT\n\n"}}
    with page_on(browser, url, {"finish": [{"result": answer, "events": []}]}) as page:
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        expect(at(page, "status")).to_have_text("Done: no speech was recognised in this audio.")
        said = "getComputedStyle(document.getElementById('transcript'), '::before').content"
        assert page.evaluate(said) == '"No speech was recognised."'
        expect(at(page, "play")).to_be_visible()
        expect(at(page, "again")).to_be_visible()
        for kind in ("srt", "vtt"):
            expect(at(page, f"save-{kind}")).to_be_hidden()


def test_new_text_is_read_aloud_once_in_whole_words(browser, url):
    with page_on(browser, url) as page:
        assert page.get_by_test_id("transcript").get_attribute("aria-live") is None
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        assert page.get_by_role("log").all_text_contents() == [" Hello tab. It works."]


def test_keyboard_alone(browser, url):
    """A file is chosen and stopped; then each control has a name, is reached with Tab, and shows its focus."""
    with page_on(browser, url, {"feed": [{"silent": True}]}) as page:
        with page.expect_file_chooser() as chooser:
            # Focus inside this block: its answer shows that Chromium has heard that Playwright takes the file chooser.
            at(page, "audio-file").focus()
            page.keyboard.press("Space")
        chooser.value.set_files(SECOND)
        wait_for(page, "transcribing")
        at(page, "stop").focus()
        page.keyboard.press("Enter")
        expect(at(page, "status")).to_have_text("Stopped.")
        expect(at(page, "delete-all")).to_be_hidden()  # nothing was written, so the list is empty again
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        unnamed = page.evaluate("""() => [...document.querySelectorAll('button, input, select')].filter(e =>
            e.checkVisibility() && !e.labels?.length && !e.textContent.trim() && !e.ariaLabel
        ).map(e => e.outerHTML)""")
        assert unnamed == []
        # What can be pressed, what of it was reached, and what had no visible mark then.
        page.evaluate("""() => {
            const all = 'button, input, select, summary, a[href], [tabindex="0"]';
            window.controls = [...document.querySelectorAll(all)]
                .filter(e => e.checkVisibility() && !e.disabled);
            window.reached = new Set();
            window.unmarked = [];
            addEventListener('focusin', ({ target }) => {
                reached.add(target);
                const mark = getComputedStyle(target.matches('.unseen') ? target.closest('.button') : target);
                if (mark.outlineStyle === 'none' || parseFloat(mark.outlineWidth) < 2) unmarked.push(target.outerHTML);
            });
            document.activeElement.blur();
        }""")
        for _ in range(page.evaluate("controls.length") + 2):
            page.keyboard.press("Tab")
        assert page.evaluate("controls.filter(e => !reached.has(e)).map(e => e.outerHTML)") == []
        assert page.evaluate("unmarked") == []


def test_nothing_is_wider_than_the_window(browser, url):
    """Phone, tablet, wide screen, and twice as large letters, in English and Hindi; also when the window changes."""
    for language in ("en", "hi"):
        query = f"?model=self-test&lang={language}"
        with page_on(browser, url, query=query, viewport={"width": 1440, "height": 700}) as page:
            at(page, "audio-file").set_input_files(SECOND)
            wait_for(page, "done")
            expect(at(page, "player")).to_be_visible()
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            wide = "document.documentElement.scrollWidth"
            found = {}
            for letters in (100, 200):
                page.evaluate("percent => { document.documentElement.style.fontSize = `${percent}%`; }", letters)
                for width in (1440, 820, 640, 360, 320):
                    page.set_viewport_size({"width": width, "height": 700})
                    found[letters, width] = page.evaluate(wide)
            assert {size: wide for size, wide in found.items() if wide > size[1]} == {}


def test_nothing_is_asked_of_other_hosts(browser, url):
    with page_on(browser, url, state=None) as page:
        hosts = []
        page.on("request", lambda request: hosts.append(request.url))
        page.reload()
        wait_for(page, "ready")
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        assert all(host.startswith((url, "data:", "blob:")) for host in hosts)
