"""The microphone: what is heard is transcribed and kept, whatever happens meanwhile."""

import pytest
import soundfile
from playwright.sync_api import expect

from web.audio.tones import RATE, loudest_hertz, tone
from web.conftest import hearing
from web.fake_engine import MODEL, SECOND, answer, at, calls, fed, hear, page_on, wait_for


@pytest.fixture(scope="module")
def speaking(browser, tmp_path_factory):
    """A browser whose microphone plays a tone of 440 Hz for three seconds, once, and then is silent."""
    clip = tmp_path_factory.mktemp("microphone") / "clip.wav"
    soundfile.write(clip, tone(48000, seconds=3), 48000)
    browser = hearing(browser, clip)
    yield browser
    browser.close()


def recording(page):
    with page.expect_download() as download:
        at(page, "save-wav").click()
    return soundfile.read(download.value.path())


def speak(page, seconds):
    at(page, "speak").click()
    wait_for(page, "transcribing")
    page.wait_for_function("samples => window.heard.findLast(h => h.fed)?.fed >= samples", arg=seconds * RATE)


def test_microphone(speaking, url):
    text = {"event": "text", "text": " while you speak", "tokens": [33, 1500], "audio_seconds": 0.1}
    script = {"feed": [{"events": [text]}, {}]}
    with page_on(speaking, url, script, viewport={"width": 900, "height": 700}) as page:
        at(page, "speak").click()
        wait_for(page, "transcribing")
        expect(at(page, "status")).to_have_text("Listening: speak now.")
        expect(at(page, "transcript")).to_have_text("while you speak")
        page.wait_for_function("window.heard.findLast(h => h.fed)?.fed >= 32000")
        assert int(page.get_by_role("meter").get_attribute("aria-valuenow")) > 50
        expect(page.get_by_role("timer")).to_have_text("0:02")
        expect(at(page, "stop")).to_be_focused()
        page.keyboard.press("Enter")
        wait_for(page, "done")
        expect(page.get_by_role("meter")).to_be_hidden()
        samples, rate = recording(page)
        assert rate == RATE and len(samples) == fed(page)[-1]["fed"] >= 32000
        assert loudest_hertz(samples[8000:24000]) == pytest.approx(440, abs=2)


def test_a_stream_that_its_page_ends(speaking, url):
    """No event tells of that. The stream of another page (voxtab.js) goes on when the recording ends."""
    with page_on(speaking, url) as page:
        ended = page.evaluate("""async () => {
            const { Microphone } = await import("./modules/audio/microphone.js");
            const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
            const first = await Microphone.of(stream, "first", {});
            await first.stop();
            const isActive = stream.active;
            const lost = Promise.withResolvers();
            const second = await Microphone.of(stream, "second", { onlost: lost.resolve });
            for (const track of stream.getTracks()) track.stop();
            await lost.promise;
            await second.stop();
            return [isActive, first.recording.seconds > 0, second.recording.live];
        }""")
        assert ended == [True, True, False]


def test_stop_takes_in_the_last_words_and_a_second_stop_ends_it(speaking, url):
    with page_on(speaking, url, {"finish": [{"silent": True}]}) as page:
        speak(page, 0.5)
        at(page, "stop").click()
        expect(at(page, "status")).to_have_text("The recording has ended. Writing what was said…")
        at(page, "stop").click()
        wait_for(page, "ready")


def test_what_is_still_on_its_way_is_taken_in(speaking, url):
    """The recording ends when the audio thread says that it has sent everything, not when Stop is pressed."""
    with page_on(speaking, url) as page:
        page.evaluate("""() => {
            const post = MessagePort.prototype.postMessage;
            MessagePort.prototype.postMessage = function (message, ...more) {
                if (message.stop) setTimeout(() => post.call(this, message, ...more), 300);
                else post.call(this, message, ...more);
            };
        }""")
        speak(page, 0.3)
        page.evaluate(
            "() => { window.before = window.heard.findLast(h => h.fed).fed; document.getElementById('stop').click(); }"
        )
        wait_for(page, "done")
        assert fed(page)[-1]["fed"] - page.evaluate("before") > 0.15 * RATE
        page.wait_for_timeout(2100)
        expect(at(page, "error")).to_be_hidden()  # after the end, missing sound is not an error


def test_the_microphone_is_off_after_a_failure(speaking, url):
    script = {"feed": [{}, {}, {"error": {"kind": "bug", "message": "Something is broken."}}, {}]}
    with page_on(speaking, url, script) as page:
        at(page, "speak").click()
        expect(at(page, "error")).to_contain_text("Something is broken. Your recording is kept")
        expect(page.get_by_role("meter")).to_be_hidden()
        wait_for(page, "error")
        samples, _ = recording(page)
        assert len(samples) >= fed(page)[-1]["fed"]
        expect(at(page, "speak")).to_be_enabled()


def test_recording_is_kept_when_transcription_fails(speaking, url):
    script = {"finish": [{"error": {"kind": "bug", "message": "Something is broken."}}, {}]}
    with page_on(speaking, url, script) as page:
        speak(page, 0.5)
        at(page, "stop").click()
        wait_for(page, "error")
        expect(at(page, "error")).to_contain_text(
            "Something is broken. Your recording is kept: you can save it, or transcribe it again."
        )
        samples, _ = recording(page)
        assert len(samples) == fed(page)[-1]["fed"]
        at(page, "again").click()
        wait_for(page, "done")
        assert fed(page)[-1]["fed"] == len(samples)


# The GPU is lost during a feed, and the model opens again only when the test says so.
GPU_LOST = {
    "feed": [{}, {}, {"events": [{"event": "lost", "message": "The GPU was lost."}], "silent": True}, {}],
    "open": [{}, {"silent": True}],
}


def test_a_recording_without_text_is_kept_when_other_audio_comes(speaking, url):
    script = {"finish": [{"error": {"kind": "bug", "message": "Something is broken."}}, {}]}
    with page_on(speaking, url, script) as page:
        speak(page, 0.5)
        at(page, "stop").click()
        wait_for(page, "error")
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "done")
        expect(at(page, "interrupted")).to_be_visible()
        with page.expect_download() as download:
            at(page, "interrupted-save").click()
        assert len(soundfile.read(download.value.path())[0]) >= 0.5 * RATE


def test_gpu_lost_while_speaking(speaking, url):
    """The microphone goes on; everything that was spoken is in the second transcription."""
    with page_on(speaking, url, GPU_LOST) as page:
        at(page, "speak").click()
        expect(at(page, "error")).to_contain_text("The GPU was lost. The audio is kept")
        wait_for(page, "loading")
        page.wait_for_timeout(700)
        answer(page, "open", result=MODEL)
        wait_for(page, "transcribing")
        page.wait_for_function("samples => window.heard.findLast(h => h.fed)?.fed > samples", arg=0.9 * RATE)
        at(page, "stop").click()
        wait_for(page, "done")
        samples, _ = recording(page)
        assert len(samples) == fed(page)[-1]["fed"] > 0.9 * RATE


def test_audio_dropped_while_the_gpu_comes_back(speaking, checkout_url):
    """The microphone comes first: what it hears is transcribed, and the file has to wait."""
    with page_on(speaking, checkout_url, GPU_LOST) as page:
        at(page, "speak").click()
        wait_for(page, "loading")
        waits = "You are being recorded. The text follows once the model is open."
        expect(at(page, "note")).to_have_text(waits)
        page.evaluate("import('./page/engine.js').then(({ engine }) => engine._tell('quiet', true))")
        expect(at(page, "note")).to_contain_text("The engine has not answered")
        page.evaluate("import('./page/engine.js').then(({ engine }) => engine._tell('quiet', false))")
        expect(at(page, "note")).to_have_text(waits)
        at(page, "audio-file").set_input_files(SECOND)
        expect(at(page, "queue-summary")).to_have_text("1 waiting")
        answer(page, "open", result=MODEL)
        wait_for(page, "transcribing")
        expect(at(page, "stop")).to_have_text("Stop and finish")
        at(page, "stop").click()
        expect(at(page, "queue-summary")).to_have_text("1 done")
        *_, heard, file = [block["fed"] for block in fed(page)]
        expect(at(page, "sessions-list")).to_contain_text("recorded here")
        assert heard != file == 16000
        expect(page.get_by_role("meter")).to_be_hidden()


MAY_CLOSE = "dispatchEvent(new Event('beforeunload', { cancelable: true }))"
MICROPHONE_ASKS = """() => {
    const open = MediaDevices.prototype.getUserMedia;
    MediaDevices.prototype.getUserMedia = function (...how) {
        return new Promise((resolve, reject) => {
            window.allow = () => resolve(open.apply(this, how));
            window.refuse = () => reject(new DOMException("no", "NotAllowedError"));
        });
    };
}"""


@pytest.mark.parametrize("ends", ["fails", "stopped"])
def test_recording_that_waits_for_a_model_is_kept(speaking, url, ends):
    """The GPU is lost while the browser asks for the microphone, and the model does not come back."""
    with page_on(speaking, url, {"open": [{}, {"silent": True}, {}]}) as page:
        page.evaluate(MICROPHONE_ASKS)
        at(page, "speak").click()
        expect(at(page, "status")).to_contain_text("Waiting for the microphone")
        hear(page, event="lost", message="The GPU was lost.")
        wait_for(page, "loading")
        page.evaluate("allow()")
        expect(page.get_by_role("meter")).to_be_visible()
        page.wait_for_timeout(200)
        if ends == "stopped":
            at(page, "stop").click()
            expect(at(page, "stop")).to_have_text("Stop")
            at(page, "stop").click()
        else:
            answer(page, "open", error={"kind": "device", "message": "The GPU is gone."})
        wait_for(page, "error")
        expect(page.get_by_role("meter")).to_be_hidden()
        # The recording is kept, so that the page may be closed, unless it waits for a model.
        assert page.evaluate(MAY_CLOSE) == (ends == "stopped")
        samples, _ = recording(page)
        assert len(samples) > 1600
        at(page, "retry").click()
        if ends == "stopped":  # a stopped transcription begins again on request
            wait_for(page, "ready")
            at(page, "again").click()
        wait_for(page, "done")
        assert fed(page)[-1]["fed"] == len(samples)
        expect(at(page, "earlier")).to_be_hidden()


def test_microphone_allowed_when_no_model_is_open_any_more(speaking, url):
    """The microphone stops, as no model will read the recording."""
    gone = {"error": {"kind": "device", "message": "The GPU is gone."}}
    with page_on(speaking, url, {"open": [{}, gone]}) as page:
        page.evaluate(MICROPHONE_ASKS)
        at(page, "speak").click()
        expect(at(page, "status")).to_contain_text("Waiting for the microphone")
        hear(page, event="lost", message="The GPU was lost.")
        wait_for(page, "error")
        page.evaluate("allow()")
        expect(at(page, "note")).to_have_text("Your recording will be transcribed once the model is open.")
        expect(at(page, "error")).to_contain_text("The GPU is gone.")  # with its button
        expect(page.get_by_role("meter")).to_be_hidden()
        expect(at(page, "save-wav")).to_be_visible()


def test_microphone_refused_after_a_file_was_dropped(speaking, url):
    """The running transcription keeps its state."""
    with page_on(speaking, url, {"finish": [{"silent": True}]}) as page:
        page.evaluate(MICROPHONE_ASKS)
        at(page, "speak").click()
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "transcribing")
        page.evaluate("refuse()")
        expect(at(page, "error")).to_contain_text("The browser or the system does not allow the microphone.")
        wait_for(page, "transcribing")
        expect(at(page, "progress")).to_be_hidden()


def test_microphone_allowed_after_a_file_was_dropped(speaking, url):
    with page_on(speaking, url, {"finish": [{"silent": True}]}) as page:
        page.evaluate(MICROPHONE_ASKS)
        at(page, "speak").click()
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "transcribing")
        page.evaluate("allow()")
        expect(at(page, "error")).to_contain_text("A transcription is running")
        expect(page.get_by_role("meter")).to_be_hidden()
        wait_for(page, "transcribing")


def transcribe_recording(page, seconds):
    """As if the user had spoken for `seconds`; `recording` is live until it is ended."""
    page.evaluate(
        """async seconds => {
            const [{ Recording }, { transcribe }] =
                await Promise.all([import("./audio/recording.js"), import("./page/transcribing.js")]);
            window.recording = new Recording("microphone");
            recording.append(new Float32Array(seconds * 16000));
            transcribe(recording);
        }""",
        seconds,
    )


def test_text_that_falls_behind(speaking, url):
    """The page counts by itself, so it also notices when an engine without any text is late."""
    with page_on(speaking, url) as page:
        speak(page, 3.2)
        expect(at(page, "note")).to_contain_text("The text falls behind")
        expect(at(page, "lag")).to_contain_text("s behind")  # the only place with a figure
        expect(at(page, "status")).to_have_text("Listening: speak now.")
        hear(page, event="covered", audio_seconds=3)
        expect(at(page, "note")).to_be_hidden()


def test_the_answer_to_feed_is_the_brake(browser, checkout_url):
    """The page does not feed again until the answer comes; the rest of the recording stays in the page."""
    with page_on(browser, checkout_url, {"feed": [{"silent": True}], "finish": [{"silent": True}]}) as page:
        transcribe_recording(page, seconds=12)
        for block, samples in enumerate((5 * RATE, 10 * RATE, 12 * RATE)):
            page.wait_for_function("block => window.heard.filter(h => h.fed).length > block", arg=block)
            page.wait_for_timeout(100)
            assert [fed["fed"] for fed in fed(page)][block:] == [samples]
            hear(page, event="covered", audio_seconds=4 * block)
            expect(at(page, "note" if block < 2 else "progress")).to_contain_text(
                "The text falls behind" if block < 2 else "0:08 of 0:12"
            )
            if block == 1:
                page.evaluate("recording.end()")
            answer(page, "feed", result={})
        expect(at(page, "status")).to_have_text("The recording has ended. Writing what was said…")
        assert calls(page, "finish")


def test_a_transcription_that_fails_while_its_audio_waits(browser, checkout_url):
    """The answer to `feed` carries the error, at any place in the audio."""
    with page_on(browser, checkout_url, {"feed": [{}, {"silent": True}]}) as page:
        transcribe_recording(page, seconds=200)
        page.wait_for_function("window.heard.filter(h => h.fed).length === 2")
        answer(page, "feed", error={"kind": "audio", "message": "The samples hold NaN."})
        wait_for(page, "error")
        expect(at(page, "error")).to_contain_text("The samples hold NaN.")
        assert not calls(page, "finish")


def test_nothing_is_fed_after_a_stop(browser, checkout_url):
    """Also if the stop comes too late for the running feed."""
    with page_on(browser, checkout_url, {"feed": [{"after": 500}]}) as page:
        transcribe_recording(page, seconds=12)
        page.wait_for_function("window.heard.filter(h => h.fed).length === 1")
        page.evaluate("document.getElementById('stop').click()")
        wait_for(page, "ready")
        assert len(fed(page)) == 1 and not calls(page, "finish")


def test_stop_while_audio_waits(browser, checkout_url):
    with page_on(browser, checkout_url, {"feed": [{}, {"silent": True}]}) as page:
        transcribe_recording(page, seconds=12)
        page.wait_for_function("window.heard.filter(h => h.fed).length === 2")
        at(page, "stop").click()
        wait_for(page, "ready")
        assert len(fed(page)) == 2 and not calls(page, "finish")


@pytest.mark.parametrize("lets", [True, False])
def test_microphone_that_the_system_pauses(speaking, url, lets):
    """For example by a phone call: the page asks the system to go on, and tells the user until it does."""
    with page_on(speaking, url) as page:
        page.evaluate(
            """lets => {
            const resume = AudioContext.prototype.resume;
            AudioContext.prototype.resume = function () {
              window.pause = () => this.suspend();
              window.go_on = () => resume.call(this);
              return lets || !window.paused ? resume.call(this) : Promise.reject();
            };
        }""",
            lets,
        )
        speak(page, 0.3)
        page.evaluate("() => { window.paused = true; return pause(); }")
        expect(at(page, "error")).to_contain_text("The system has paused the microphone")
        if not lets:
            page.evaluate("go_on()")
        expect(at(page, "error")).to_be_hidden()
        before = fed(page)[-1]["fed"]
        page.wait_for_function("before => window.heard.findLast(h => h.fed).fed > before", arg=before)
        at(page, "stop").click()
        wait_for(page, "done")


def test_microphone_that_is_unplugged(speaking, url):
    """What was said until then is transcribed and kept."""
    with page_on(speaking, url) as page:
        page.evaluate(
            """() => {
            const open = MediaDevices.prototype.getUserMedia;
            MediaDevices.prototype.getUserMedia = async function (...how) {
              const stream = await open.apply(this, how);
              window.unplug = () => {
                const [track] = stream.getAudioTracks();
                track.stop();
                track.dispatchEvent(new Event("ended"));
              };
              return stream;
            };
        }"""
        )
        speak(page, 0.5)
        page.evaluate("unplug()")
        wait_for(page, "done")
        expect(at(page, "error")).to_contain_text(
            "The microphone was disconnected. What you said until then is transcribed."
        )
        expect(page.get_by_role("meter")).to_be_hidden()
        samples, _ = recording(page)
        assert len(samples) == fed(page)[-1]["fed"] >= 0.5 * RATE
        expect(at(page, "speak")).to_be_enabled()


def test_no_microphone(browser, url):
    """This browser has no microphone, so it really refuses."""
    with page_on(browser, url) as page:
        at(page, "speak").click()
        wait_for(page, "error")
        expect(at(page, "error")).to_contain_text("No microphone was found. Plug one in")
        expect(at(page, "speak")).to_be_enabled()


@pytest.mark.parametrize(
    "name, says",
    [
        ("NotAllowedError", "The browser or the system does not allow the microphone. Allow it for this page"),
        ("NotReadableError", "in use by another program"),
        ("AbortError", "The microphone did not start (why)"),
    ],
)
def test_microphone_that_does_not_start(browser, url, name, says):
    with page_on(browser, url) as page:
        page.evaluate(
            "name => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('why', name); }; }",
            name,
        )
        at(page, "speak").click()
        wait_for(page, "error")
        expect(at(page, "error")).to_contain_text(says)


def test_microphone_without_sound(speaking, url):
    """A machine without an audio system: the browser gives a microphone, and no sound ever comes."""
    with page_on(speaking, url) as page:
        page.evaluate("MediaStreamAudioSourceNode.prototype.connect = node => node")
        at(page, "speak").click()
        expect(at(page, "error")).to_contain_text("no sound came")
        wait_for(page, "error")


def test_autostart_never_opens_the_microphone(speaking, url):
    with page_on(speaking, url, query="?model=self-test&autostart=1") as page:
        page.wait_for_timeout(200)
        expect(at(page, "speak")).to_be_enabled()
        expect(page.get_by_role("meter")).to_be_hidden()
