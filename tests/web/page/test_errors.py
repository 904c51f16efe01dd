"""What goes wrong, what the page says then, and that it stays usable."""

import pytest
from playwright.sync_api import expect

from web.fake_engine import GOOD_GPU, MODEL, SECOND, answer, at, calls, drop, fed, hear, page_on, wait_for, wav

TEXT = {"event": "text", "text": " Some words", "tokens": [33, 1500], "audio_seconds": 0.5}
LOST = {"event": "lost", "message": "The GPU was lost."}


def gpu(text):
    return f"Object.defineProperty(Navigator.prototype, 'gpu', {{ configurable: true, get: () => ({text}) }});"


def adapter(info="{}", limits="{}"):
    return gpu(f"{{ requestAdapter: async () => ({{ info: {info}, limits: {limits}, features: new Set() }}) }}")


# --- the machine

CHROME = "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"


@pytest.mark.parametrize(
    "agent, says",
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "dom.webgpu.enabled"),
        (CHROME.format("X11; Linux x86_64"), "chrome://flags"),
        (CHROME.format("Windows NT 10.0; Win64; x64"), "Chrome or Edge 113"),
        (CHROME.format("Linux; Android 10"), "Android 12"),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/18.0 Safari/605.1.15",
            "Safari has it since version 26",
        ),
        ("Something else", "Use a new version of Chrome"),
    ],
)
def test_no_webgpu(browser, url, agent, says):
    with page_on(browser, url, gpu=gpu("undefined"), state="error", user_agent=agent) as page:
        expect(at(page, "error")).to_contain_text("This browser has no WebGPU.")
        expect(at(page, "error")).to_contain_text(says)
        assert page.evaluate("window.made") is None
        # What of it is said is in view, however far below it the file was chosen.
        page.set_viewport_size({"width": 360, "height": 640})
        for files, name in (([SECOND], "clip.wav"), ([SECOND, SECOND | {"name": "b.wav"}], "2 files")):
            page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
            expect(at(page, "error")).not_to_be_in_viewport()
            at(page, "audio-file").set_input_files(files)
            expect(at(page, "error")).to_contain_text(f"{name} cannot be transcribed here. This browser has no WebGPU.")
            expect(at(page, "error")).to_contain_text(says)
            expect(at(page, "error")).to_be_in_viewport()
        wait_for(page, "error")


@pytest.mark.parametrize(
    "machine, says",
    [
        (gpu("{ requestAdapter: async () => null }"), "found no GPU that it can use"),
        (gpu("{ requestAdapter: async () => { throw new Error('no') } }"), "found no GPU that it can use"),
        (
            gpu("{ requestAdapter: async options => options ? { limits: {} } : null }"),
            "only in WebGPU's compatibility mode",
        ),
        (
            adapter(limits="{ maxStorageBufferBindingSize: 1000 }"),
            "maxStorageBufferBindingSize is 1000, but 134217728 is needed",
        ),
        ("Object.defineProperty(window, 'isSecureContext', { value: false });", "https:// or localhost"),
    ],
)
def test_machine_that_cannot(browser, url, machine, says):
    with page_on(browser, url, gpu=machine, state="error") as page:
        expect(at(page, "error")).to_contain_text(says)
        assert not calls(page, "open")


@pytest.mark.parametrize(
    "machine, says",
    [
        (adapter("{ isFallbackAdapter: true, description: 'Tea Leaves' }"), "in software (Tea Leaves)"),
        (adapter("{ description: 'llvmpipe (LLVM 15)' }"), "in software (llvmpipe"),
        (adapter("{ description: 'ANGLE (OpenGL ES 3.1)' }"), "OpenGL ES, which is slow"),
    ],
)
def test_machine_that_is_slow(browser, url, machine, says):
    with page_on(browser, url, gpu=machine) as page:
        expect(at(page, "warning")).to_contain_text(says)
        expect(at(page, "speak")).to_be_enabled()
        at(page, "dismiss-warning").click()
        expect(at(page, "warning")).to_be_hidden()
        page.reload()
        wait_for(page, "ready")
        expect(at(page, "warning")).to_be_hidden()


# --- the model


def test_driver_that_gets_a_kernel_wrong(browser, url):
    opened = {
        "name": "a.gguf",
        "default_delay_ms": 480,
        "left_silence_tokens": 32,
        "model_bytes": 1000,
        "gpu": {"software": False},
        "warning": "The graphics driver gets kernels wrong (linear=staged_packed).",
    }
    with page_on(browser, url, {"open": [{"result": opened}]}) as page:
        expect(at(page, "warning")).to_have_text("The graphics driver gets kernels wrong (linear=staged_packed).")
        expect(at(page, "error")).to_be_hidden()
        expect(at(page, "speak")).to_be_enabled()


def test_fastest_kernels_are_remembered(browser, url):
    """On the next visit the Worker gets what it found before, also if what was stored is not readable any more."""
    choice = {"name": "adapter and model", "variants": "linear=staged_subgroups"}
    opened = {
        "name": "a.gguf",
        "default_delay_ms": 480,
        "left_silence_tokens": 32,
        "model_bytes": 1000,
        "choice": choice,
    }
    with page_on(browser, url, {"open": [{"result": opened}]}) as page:
        assert calls(page, "open")[0]["known"] == {}
        page.reload()
        wait_for(page, "ready")
        assert calls(page, "open")[0]["known"] == {"adapter and model": "linear=staged_subgroups"}
        page.evaluate("localStorage.setItem('voxtab.variants', JSON.stringify({ another: 'linear=plain' }))")
        page.reload()
        wait_for(page, "ready")
        assert page.evaluate("JSON.parse(localStorage.getItem('voxtab.variants'))") == {
            "another": "linear=plain",
            "adapter and model": "linear=staged_subgroups",
        }
        page.evaluate("localStorage.setItem('voxtab.variants', '{')")
        page.reload()
        wait_for(page, "ready")
        assert calls(page, "open")[0]["known"] == {}


@pytest.mark.parametrize("kind", ["model", "tokenizer", "device", "network", "bug"])
def test_model_that_does_not_open(browser, url, kind):
    script = {"open": [{"error": {"kind": kind, "message": "host.example has no a.gguf: check the address."}}, {}]}
    with page_on(browser, url, script, state="error") as page:
        expect(at(page, "error")).to_contain_text("host.example has no a.gguf: check the address.")
        expect(at(page, "speak")).to_be_disabled()
        at(page, "retry").click()
        wait_for(page, "ready")
        expect(at(page, "error")).to_be_hidden()


def stopped_loading(page):
    """It is told, and is no alarm."""
    expect(at(page, "status")).to_have_text("Loading was stopped: no model is open.")
    expect(at(page, "error")).to_be_hidden()
    wait_for(page, "ready")
    expect(at(page, "progress")).to_be_hidden()
    expect(at(page, "stop")).to_be_hidden()


@pytest.mark.parametrize("obeys", [True, False])
def test_stop_while_loading(browser, url, obeys):
    script = {"open": [{"silent": True}, {}], "cancel": [{"silent": not obeys}]}
    with page_on(browser, url, script, state="loading") as page:
        page.wait_for_function("heard.some(({ call }) => call?.verb === 'open')")  # nothing stops what is not asked yet
        at(page, "stop").click()
        stopped_loading(page)
        assert page.evaluate("window.made.length") == 1
        at(page, "use-self-test").click()
        if obeys:
            wait_for(page, "ready")
        else:  # the new Worker does not answer either
            wait_for(page, "loading")
            assert page.evaluate("window.made.length") == 2


def test_a_model_can_be_got_after_one_was_stopped(browser, url):
    """Also where another one was open before, and a text is read."""
    with page_on(browser, url, {"open": [{}, {"silent": True}, {}]}) as page:
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        at(page, "load-url").click()
        page.wait_for_function("heard.filter(({ call }) => call?.verb === 'open').length === 2")
        at(page, "stop").click()
        stopped_loading(page)
        at(page, "get").click()
        wait_for(page, "ready")
        expect(at(page, "status")).to_have_text("Ready, with voxtral-q4.gguf.")


def test_another_model_while_loading(browser, url):
    with page_on(browser, url, {"open": [{"silent": True}, {}]}, state="loading") as page:
        at(page, "load-url").click()
        wait_for(page, "ready")
        assert len(calls(page, "cancel")) == 1
        expect(at(page, "status")).to_have_text("Ready, with voxtral-q4.gguf.")
        expect(at(page, "error")).to_be_hidden()


def test_another_model_while_python_starts(browser, url):
    """The first model was not begun: there is nothing to stop, and Python goes on starting."""
    with page_on(browser, url, {"boots": False}, state="loading") as page:
        at(page, "load-url").click()
        expect(at(page, "model")).to_have_text("Loading voxtral-q4.gguf.")
        hear(page, event="progress", stage="python", done=1, total=1)
        wait_for(page, "ready")
        assert [asked["model"] is None for asked in calls(page, "open")] == [False]
        assert page.evaluate("window.made.length") == 1


def test_stop_while_python_starts(browser, url):
    with page_on(browser, url, {"boots": False}, state="loading") as page:
        at(page, "audio-file").set_input_files(SECOND)
        expect(at(page, "queue-waits")).to_be_visible()
        at(page, "stop").click()
        stopped_loading(page)
        hear(page, event="progress", stage="python", done=1, total=1)
        assert not calls(page, "start") and page.evaluate("window.made.length") == 1
        at(page, "use-self-test").click()
        wait_for(page, "done")  # the file has waited


def test_another_model_while_transcribing(browser, url):
    with page_on(browser, url, {"finish": [{"silent": True}]}) as page:
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "transcribing")
        at(page, "load-url").click()
        expect(at(page, "error")).to_contain_text("stop it first")
        at(page, "stop").click()
        wait_for(page, "ready")
        expect(at(page, "error")).to_be_hidden()
        expect(at(page, "status")).to_have_text("Stopped.")


@pytest.mark.parametrize(
    "files, says",
    [
        (["tekken.json"], "now choose the model"),
        (["a.gguf", "one.json", "other.json"], "more than one .json file"),
        ([], "No file was found there"),
        (["a.pdf", "b.txt"], "2 files are not audio and were left out: a.pdf, b.txt."),
    ],
)
def test_files_that_make_no_model(browser, url, files, says):
    with page_on(browser, url) as page:
        drop(page, *((name, b"x") for name in files))
        expect(at(page, "error")).to_contain_text(says)
        wait_for(page, "ready")


# --- audio


@pytest.mark.parametrize(
    "name, data, says",
    [
        ("low.wav", wav(bytes(320), rate=8), "low.wav says that its rate is 8 Hz, where 1000 is the least"),
        ("empty.wav", b"", "empty.wav is empty"),
        ("silent.wav", wav(b""), "silent.wav contains no sound"),
    ],
)
def test_file_that_is_no_audio(browser, url, name, data, says):
    with page_on(browser, url) as page:
        at(page, "audio-file").set_input_files({"name": name, "mimeType": "", "buffer": data})
        wait_for(page, "error")
        expect(at(page, "error")).to_contain_text(says)
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        expect(at(page, "error")).to_be_hidden()


@pytest.mark.parametrize(
    "answer, says",
    [
        ({"status": 404}, "has no a.wav (status 404)"),
        ({"body": "<!doctype html>", "content_type": "text/html"}, "gives a web page, not audio"),
        (None, "a.wav could not be fetched from"),
    ],
)
def test_address_that_gives_no_audio(browser, url, answer, says):
    with page_on(browser, url, state=None) as page:
        page.route("**/a.wav", lambda route: route.fulfill(**answer) if answer else route.abort())
        page.goto(f"{url}/?audio=a.wav&autostart=1")
        expect(at(page, "error")).to_contain_text(says)
        expect(at(page, "speak")).to_be_enabled()
        wait_for(page, "error")  # automation waits for done or error


def test_address_with_a_stray_percent_sign(browser, url):
    """The name 100%.gguf, as an address has it, does not stop the page."""
    with page_on(browser, url, query="?model=100%25.gguf") as page:
        wait_for(page, "ready")


def test_other_hosts_audio_asks_first(browser, url):
    with page_on(browser, url, query="?audio=https://clips.example/a.wav&autostart=1", state=None) as page:
        expect(at(page, "question")).to_contain_text("audio: from clips.example")
        at(page, "decline").click()
        wait_for(page, "ready")
        assert not calls(page, "start")


def test_a_link_with_wrong_values_starts_nothing(browser, url):
    """Automation gets an error; a user can still start the audio."""
    with page_on(browser, url, query="?audio=test.wav&delay=481&left_silence=5&autostart=1", state=None) as page:
        page.route("**/test.wav", lambda route: route.fulfill(body=wav(bytes(3200))))
        page.reload()
        wait_for(page, "error")
        for wrong in ("delay of 481 ms", "left_silence=5"):
            expect(at(page, "error")).to_contain_text(wrong)
        assert not calls(page, "start")
        at(page, "transcribe").click()
        wait_for(page, "done")


def test_a_wrong_setting(browser, url):
    with page_on(browser, url) as page:
        at(page, "left-silence").fill("5")
        at(page, "left-silence").blur()
        expect(at(page, "error")).to_contain_text("must be a whole number from 32 to 1000")
        expect(at(page, "left-silence")).to_have_value("32")


def test_a_page_that_is_not_whole(browser, url):
    page = browser.new_page()
    page.route("**/main.js", lambda route: route.abort())
    page.goto(f"{url}/")
    wait_for(page, "error")
    expect(at(page, "status")).to_contain_text("did not load: open it from a server")
    page.close()


@pytest.mark.parametrize(
    "query, says",
    [
        ("?model=self-test&delay=500", "a delay of 500 ms"),
        ("?model=self-test&left_silence=-1", "left_silence=-1"),
        ("?model=self-test&left_silence=31", "a whole number from 32 to 1000"),
        ("?model=http://", "is not a valid address"),
    ],
)
def test_link_with_wrong_values(browser, url, query, says):
    with page_on(browser, url, query=query) as page:
        expect(at(page, "error")).to_contain_text(says)
        expect(at(page, "speak")).to_be_enabled()


@pytest.mark.parametrize("verb", ["start", "feed", "finish"])
def test_transcription_that_fails(browser, url, verb):
    error = {"events": [TEXT], "error": {"kind": "audio", "message": "The samples hold NaN: export the audio again."}}
    with page_on(browser, url, {verb: [error, {}]}) as page:
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "error")
        expect(at(page, "error")).to_contain_text("The samples hold NaN: export the audio again.")
        expect(at(page, "transcript")).to_have_text("Some words")
        at(page, "again").click()
        wait_for(page, "done")


@pytest.mark.parametrize("obeys", [True, False])
def test_stop_while_transcribing(browser, url, obeys):
    script = {"feed": [{"events": [TEXT]}], "finish": [{"silent": True}], "stop": [{"silent": not obeys}]}
    with page_on(browser, url, script) as page:
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "transcribing")
        expect(at(page, "transcript")).to_have_text("Some words")
        at(page, "stop").click()
        wait_for(page, "ready")
        expect(at(page, "transcript")).to_have_text("Some words")
        assert page.evaluate("voxtab.result") is None
        expect(at(page, "speak")).to_be_enabled()
        assert len(calls(page, "open")) == (1 if obeys else 2)


# --- the GPU or the Worker goes away


def test_gpu_lost_while_idle(browser, url):
    """Opened again by itself, but not twice without a transcription in between."""
    with page_on(browser, url) as page:
        hear(page, **LOST)
        expect(at(page, "error")).to_contain_text("The GPU was lost. The model is being opened again.")
        wait_for(page, "ready")
        assert len(calls(page, "open")) == 2
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        hear(page, **LOST)
        wait_for(page, "ready")
        assert len(calls(page, "open")) == 3
        hear(page, **LOST)
        wait_for(page, "error")
        expect(at(page, "error")).to_contain_text("so the model stays closed")
        expect(at(page, "model")).to_have_text("None.")
        assert len(calls(page, "open")) == 3
        at(page, "retry").click()
        wait_for(page, "ready")
        hear(page, **LOST)
        wait_for(page, "ready")
        assert len(calls(page, "open")) == 5


def test_gpu_lost_while_transcribing(browser, url):
    """The audio is heard again, and the text goes on; so it does each time, if there was some in between."""
    more = {"event": "text", "text": " and more", "tokens": [33, 1501, 1502], "audio_seconds": 20}
    script = {"feed": [{"events": [TEXT, LOST], "silent": True}, {"events": [more, LOST], "silent": True}, {}]}
    with page_on(browser, url, script, query="?model=self-test&delay=960") as page:
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        assert len(calls(page, "open")) == 3 and page.evaluate("window.made.length") == 1
        assert [block["fed"] for block in fed(page)] == [16000] * 3
        tokens = [[], [33, 1500], [33, 1500, 33, 1501, 1502]]
        assert [(call["tokens"], call["delay_ms"]) for call in calls(page, "start")] == [(ids, 960) for ids in tokens]
        expect(at(page, "transcript")).to_have_text("Hello tab. It works.")
        expect(at(page, "earlier")).to_be_hidden()


def test_gpu_lost_and_another_model_opened(browser, url):
    """Its tokens are other ones: the transcription begins again, and the text so far is kept."""
    script = {"feed": [{"events": [TEXT, LOST], "silent": True}, {}], "open": [{}, {"silent": True}, {}]}
    with page_on(browser, url, script) as page:
        at(page, "audio-file").set_input_files(SECOND)
        expect(at(page, "error")).to_contain_text("The text so far is kept, and the transcription goes on from there.")
        answer(page, "open", result={**MODEL, "name": "another.gguf"})
        wait_for(page, "done")
        assert [call["tokens"] for call in calls(page, "start")] == [[], []]
        at(page, "earlier").locator("summary").click()
        expect(at(page, "earlier").locator("article")).to_contain_text("clip.wav (incomplete)")
        expect(at(page, "earlier").locator("article")).to_contain_text("Some words")


def test_gpu_lost_while_transcribing_with_a_model_that_is_not_kept(browser, url):
    """Nothing is downloaded again without a question."""
    script = {"feed": [{"events": [TEXT, LOST], "silent": True}, {}]}
    with page_on(browser, url, script, query="?model=a.gguf") as page:
        at(page, "audio-file").set_input_files(SECOND)
        expect(at(page, "error")).to_contain_text("to open it again, it must be downloaded again")
        wait_for(page, "error")
        expect(at(page, "note")).to_have_text("clip.wav will be transcribed once the model is open.")
        assert len(calls(page, "open")) == 1
        at(page, "retry").click()
        wait_for(page, "done")
        assert calls(page, "start")[1]["tokens"] == [33, 1500]


def test_gpu_lost_again_and_again(browser, url):
    """With almost no audio in between."""
    script = {"feed": [{"events": [TEXT, LOST], "silent": True}]}
    with page_on(browser, url, script) as page:
        at(page, "audio-file").set_input_files(SECOND)
        expect(at(page, "retry")).to_be_visible()
        wait_for(page, "error")
        expect(at(page, "transcript")).to_have_text("Some words Some words")
        at(page, "retry").click()
        wait_for(page, "ready")


def test_gpu_that_is_of_no_use_any_more(browser, url):
    """Every later command of the model would fail with this error, so the model is opened again."""
    gone = {"error": {"kind": "device", "message": "The GPU has not enough free memory."}}
    with page_on(browser, url, {"finish": [gone, {}]}) as page:
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        assert len(calls(page, "open")) == 2


@pytest.mark.parametrize(
    "end, says",
    [
        ({"crash": True}, "Uncaught Error: out of memory"),
        ({"error": {"kind": "memory", "message": "out of memory: close tabs"}}, "out of memory: close tabs"),
    ],
    ids=["crash", "memory"],
)
def test_worker_crashes_while_transcribing(browser, url, end, says):
    """Another one goes on, once. A Worker never gives Python's memory back, so it ends when it is out of it."""
    script = {"finish": [{"events": [TEXT], **end}]}  # each Worker counts from the start
    with page_on(browser, url, script) as page:
        at(page, "audio-file").set_input_files(SECOND)
        expect(at(page, "retry")).to_be_visible()
        wait_for(page, "error")
        expect(at(page, "error")).to_contain_text(f"The engine stopped unexpectedly ({says}).")
        assert (
            page.evaluate("window.made.length") == 2
            and page.evaluate("window.heard.filter(h => h.call?.verb === 'open').length") == 2
        )
        expect(at(page, "transcript")).to_have_text("Some words Some words")  # as each of the two said
        at(page, "retry").click()
        wait_for(page, "ready")


def test_worker_crashes_while_opening(browser, url):
    with page_on(browser, url, {"open": [{"crash": True}]}, state="error") as page:
        expect(at(page, "error")).to_contain_text("The engine stopped unexpectedly")
        at(page, "retry").click()
        expect(page.locator("html")).to_have_attribute("data-state", "error")
        assert page.evaluate("window.made.length") == 2


# A second of the page's timers takes 50 ms.
QUICK = GOOD_GPU + "{ const every = setInterval; window.setInterval = (act, ms) => every(act, ms / 20); }"


def test_worker_that_falls_silent_while_opening(browser, url):
    """It is started again, once. A Worker that dies without an event: Firefox does this now and then."""
    with page_on(browser, url, {"dies": "open"}, gpu=QUICK, state="loading") as page:
        expect(at(page, "note")).to_contain_text("The engine has not answered for some seconds.")
        expect(at(page, "error")).to_contain_text("not answered for 15 seconds. It was started again.")
        wait_for(page, "error")
        expect(at(page, "error")).to_contain_text("not answered for 15 seconds.")
        expect(at(page, "note")).to_be_hidden()
        assert page.evaluate("window.made.length") == len(calls(page, "open")) == 2
        at(page, "retry").click()
        wait_for(page, "loading")
        page.wait_for_function("window.made.length === 3")
    # While it opens for “See it work”, a note before that would only worry.
    with page_on(browser, url, {"dies": "open"}, query="", gpu=QUICK, state="loading") as page:
        page.evaluate("""() => {
            const note = document.getElementById("note");
            window.noted = [];
            new MutationObserver(() => noted.push(note.textContent)).observe(note, { childList: true });
        }""")
        expect(at(page, "error")).to_contain_text("It was started again.")
        assert [text for text in page.evaluate("noted") if text] == []


def test_worker_that_falls_silent_while_transcribing(browser, url):
    """Another one goes on."""
    with page_on(browser, url, gpu=QUICK) as page:
        page.evaluate("made[0].postMessage({ verb: 'die' })")
        at(page, "audio-file").set_input_files(SECOND)
        expect(at(page, "error")).to_contain_text("The audio is kept, and is transcribed from its start.")
        wait_for(page, "done")
        assert page.evaluate("window.made.length") == 2


def test_worker_that_is_busy_for_a_while(browser, url):
    with page_on(browser, url, {"dies": "open"}, state="loading") as page:
        expect(at(page, "note")).to_contain_text("The engine has not answered for some seconds.", timeout=15000)
        hear(page, event="live")
        expect(at(page, "note")).to_be_hidden()


def test_worker_that_is_missing(browser, url):
    with page_on(browser, url, state=None) as page:

        def missing(route):
            route.fulfill(status=404)

        page.route("**/boot.js", missing)
        page.reload()
        wait_for(page, "error")
        expect(at(page, "error")).to_contain_text("The engine could not start")
        # This handler alone: without the fake Worker the page would start the checkout's, which has no Python.
        page.unroute("**/boot.js", missing)
        at(page, "retry").click()
        wait_for(page, "ready")


def test_audio_before_any_model(browser, url):
    """It is kept until there is one."""
    script = {"open": [{"error": {"kind": "network", "message": "The network failed."}}, {}]}
    with page_on(browser, url, script, state="error") as page:
        at(page, "audio-file").set_input_files(SECOND)
        expect(at(page, "queue-waits")).to_contain_text("This begins by itself as soon as a model is open.")
        expect(at(page, "queue-list")).to_contain_text("clip.wav")
        expect(at(page, "error")).to_contain_text("The network failed.")  # with its button
        at(page, "queue-get").click()
        wait_for(page, "done")
        assert "url" in calls(page, "open")[-1]["model"]


def test_models_chosen_one_after_the_other(browser, url):
    """The last choice wins."""
    with page_on(browser, url, {"open": [{"silent": True}, {}], "cancel": [{"after": 300}]}, state="loading") as page:
        expect(at(page, "model-url")).not_to_have_value("")  # the catalogue has come
        page.wait_for_function("window.heard.some(({ call }) => call?.verb === 'open')")  # the link's
        # At once: before the first `cancel` is answered, however slow the test's own way to the page is.
        page.evaluate("""() => {
            for (const name of ['load-url', 'use-self-test', 'load-url'])
                document.querySelector(`[data-testid=${name}]`).click();
        }""")
        wait_for(page, "ready")
        expect(at(page, "status")).to_have_text("Ready, with voxtral-q4.gguf.")
        assert [bool(call["model"]) for call in calls(page, "open")] == [False, True]


def test_stop_before_a_model_that_was_chosen_begins(browser, url):
    """While the model before it is being cancelled."""
    with page_on(browser, url, {"open": [{"silent": True}, {}], "cancel": [{"after": 300}]}, state="loading") as page:
        page.wait_for_function("window.heard.some(({ call }) => call?.verb === 'open')")
        page.evaluate("""() => {
            for (const name of ['load-url', 'stop']) document.querySelector(`[data-testid=${name}]`).click();
        }""")
        stopped_loading(page)
        assert len(calls(page, "open")) == 1
