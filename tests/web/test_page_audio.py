"""What the page feeds: WAV files to the last bit, what the browser decodes, and what the microphone hears."""

import base64
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from voxtab import resources
from web.conftest import hearing
from web.fake_engine import SECOND, at, calls, fed, hear, page_on, wait_for, wav

RATE = 16000
rng = np.random.default_rng(0)


def encoded(samples, rate, **how):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **how)
    return file.getvalue()


def opened(page, data):
    """All samples that openAudio() gives for a file, and the seconds that it promises."""
    samples, seconds = page.evaluate(
        """async data => {
        const { openAudio } = await import("./audio/file.js");
        const audio = await openAudio(new Blob([Uint8Array.fromBase64(data)]), "clip");
        const blocks = [];
        for await (const block of audio.blocks()) blocks.push(block);
        return [new Uint8Array(await new Blob(blocks).arrayBuffer()).toBase64(), audio.seconds];
    }""",
        base64.b64encode(data).decode(),
    )
    return np.frombuffer(base64.b64decode(samples), "float32"), seconds


@pytest.fixture(scope="module")
def page(browser, url):
    with page_on(browser, url) as page:
        yield page


EXTENSIBLE = (
    struct.pack("<HHIIHHHHIH", 0xFFFE, 1, RATE, 2 * RATE, 2, 16, 22, 16, 4, 1)
    + b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x008\x9bq"
)
NOISE = rng.uniform(-1, 1, (90000, 2)).astype("float32")  # longer than a block of five seconds


@pytest.mark.parametrize(
    "data",
    [
        encoded(NOISE[:, 0], RATE, format="WAV", subtype="PCM_16"),
        encoded(NOISE, RATE, format="WAV", subtype="PCM_16"),
        encoded(NOISE[:, 0], RATE, format="WAV", subtype="FLOAT"),
        encoded(NOISE[:1000, 0], RATE, format="WAVEX", subtype="PCM_16"),
        b"RIFF\xff\xff\xff\xffWAVEfmt "
        + struct.pack("<I", 40)
        + EXTENSIBLE
        + b"LIST\x03\x00\x00\x00abc\x00data"
        + struct.pack("<I", 4)
        + struct.pack("<hh", -32768, 32767),
    ],
    ids=["int16", "stereo", "float", "extensible", "odd chunk before"],
)
def test_wav_is_taken_as_libsndfile_takes_it(page, data):
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    got, seconds = opened(page, data)
    assert np.array_equal(got, expected.mean(axis=1))
    assert seconds == len(expected) / RATE


def test_wav_that_was_cut_off(page):
    """A recorder that crashed wrote a size that it never reached, or none; an odd byte is no sample."""
    whole = wav(struct.pack("<3h", 1, 2, 3))
    assert list(opened(page, whole[:-1])[0]) == [1 / 32768, 2 / 32768]
    endless = whole.replace(b"data\x06\x00\x00\x00", b"data\xff\xff\xff\xff")
    assert list(opened(page, endless)[0]) == [1 / 32768, 2 / 32768, 3 / 32768]


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000])
def test_wav_whose_writer_did_not_know_its_size(page, size):
    """The data reach to the end of the file."""
    whole = encoded(NOISE[:1000, 0], RATE, format="WAV", subtype="PCM_16")
    at = whole.index(b"data") + 4
    streamed = whole[:4] + struct.pack("<I", size) + whole[8:at] + struct.pack("<I", size) + whole[at + 4 :]
    got, seconds = opened(page, streamed)
    assert np.array_equal(got, soundfile.read(io.BytesIO(whole), dtype="float32")[0])
    assert seconds == 1000 / RATE


def tone(rate, hertz=440, seconds=2.0):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def loudest_hertz(samples, rate=RATE):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return np.argmax(spectrum) * rate / len(samples)


@pytest.mark.parametrize(
    "how",
    [
        {"format": "WAV", "subtype": "PCM_16"},
        {"format": "WAV", "subtype": "PCM_24"},
        {"format": "FLAC"},
        {"format": "OGG", "subtype": "VORBIS"},
        {"format": "OGG", "subtype": "OPUS"},
        {"format": "MP3"},
    ],
    ids=lambda how: "-".join(how.values()),
)
def test_what_the_browser_decodes(page, how):
    rate = 48000 if how.get("subtype") == "OPUS" else 44100
    stereo = np.stack([tone(rate), 0 * tone(rate)], axis=1)
    got, seconds = opened(page, encoded(stereo, rate, **how))
    assert seconds == len(got) / RATE == pytest.approx(2, abs=0.06)
    middle = got[4000:28000]
    assert loudest_hertz(middle) == pytest.approx(440, abs=2)
    assert np.abs(middle).max() == pytest.approx(0.25, rel=0.1)  # channels are averaged


@pytest.mark.parametrize("kind", ["m4a", "webm"])
def test_what_phones_and_browsers_record(page, kind):
    """Containers that libsndfile does not write: kept in clips/, beside the file that they were made from."""
    got, seconds = opened(page, (Path(__file__).parent / "clips" / f"an110-mdxn-b.{kind}").read_bytes())
    spoken, _ = soundfile.read(resources.embedded_model() / "clips/an110-mdxn-b.flac", dtype="float32")
    assert seconds == len(got) / RATE == pytest.approx(len(spoken) / RATE, abs=0.15)
    length = len(got) + len(spoken)
    alike = np.fft.irfft(np.fft.rfft(got, length) * np.fft.rfft(spoken, length).conj(), length)
    assert alike.max() / (np.linalg.norm(got) * np.linalg.norm(spoken)) > 0.9
    assert min(np.argmax(alike), length - np.argmax(alike)) < 0.05 * RATE  # words have their times


# --- the microphone's resampler


def resampled(page, samples, rate, block=128):
    return np.array(
        page.evaluate(
            """async ([samples, rate, block]) => {
        const { Resampler } = await import("./audio/resampler.js");
        const resampler = new Resampler(rate);
        const all = [];
        for (let at = 0; at < samples.length; at += block) all.push(...resampler.push(Float32Array.from(samples.slice(at, at + block))));
        return all;
    }""",
            [samples.tolist(), rate, block],
        )
    )


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000, 96000])
def test_resampler(page, rate):
    """In step with the input; tones up to 7 kHz pass, within 1 % of the full scale."""
    hertz = 3000 if rate == 8000 else 7000
    got = resampled(page, tone(rate, hertz, 0.25), rate)
    assert 0 <= RATE / 4 - len(got) < 60
    times = np.arange(len(got)) / RATE
    inner = slice(200, -200)
    assert np.abs(got - 0.5 * np.sin(2 * np.pi * hertz * times))[inner].max() < 0.005


def test_resampler_takes_away_what_16_khz_cannot_hold(page):
    assert np.abs(resampled(page, tone(48000, 9000, 0.25), 48000)[200:]).max() < 0.0005


def test_resampler_does_not_depend_on_the_blocks(page):
    samples = rng.uniform(-1, 1, 6000)
    assert np.array_equal(resampled(page, samples, 44100, 128), resampled(page, samples, 44100, 1000))


# --- the microphone


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
    text = {"event": "text", "text": " while you speak", "audio_seconds": 0.1}
    script = {"feed": [{"events": [text]}, {}]}
    with page_on(speaking, url, script, viewport={"width": 900, "height": 700}) as page:
        at(page, "speak").click()
        wait_for(page, "transcribing")
        expect(at(page, "status")).to_have_text("Listening: speak.")
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


def test_stop_takes_in_the_last_words_and_a_second_stop_ends_it(speaking, url):
    with page_on(speaking, url, {"finish": [{"silent": True}]}) as page:
        speak(page, 0.5)
        at(page, "stop").click()
        expect(at(page, "status")).to_have_text("Writing the last words…")
        at(page, "stop").click()
        wait_for(page, "ready")


def test_recording_is_kept_when_transcription_fails(speaking, url):
    script = {"finish": [{"error": {"kind": "bug", "message": "Something is broken."}}, {}]}
    with page_on(speaking, url, script) as page:
        speak(page, 0.5)
        at(page, "stop").click()
        wait_for(page, "error")
        expect(at(page, "error")).to_contain_text(
            "Something is broken. The recording is kept: it can be saved, or transcribed again."
        )
        samples, _ = recording(page)
        assert len(samples) == fed(page)[-1]["fed"]
        at(page, "again").click()
        wait_for(page, "done")
        assert fed(page)[-1]["fed"] == len(samples)


def test_gpu_lost_while_speaking(speaking, url):
    """The microphone goes on; all that was said is in the second transcription."""
    lost = {"event": "lost", "message": "The GPU was lost."}
    with page_on(
        speaking, url, {"feed": [{}, {}, {"events": [lost], "silent": True}, {}], "open": [{}, {"after": 700}]}
    ) as page:
        at(page, "speak").click()
        expect(at(page, "error")).to_contain_text("The GPU was lost. The text so far is kept below")
        wait_for(page, "loading")
        wait_for(page, "transcribing")
        page.wait_for_timeout(300)
        at(page, "stop").click()
        wait_for(page, "done")
        samples, _ = recording(page)
        assert len(samples) == fed(page)[-1]["fed"] > 0.9 * RATE


def test_audio_dropped_while_the_gpu_comes_back(speaking, url):
    """The microphone has the first word: what it hears is transcribed, and the file has to wait."""
    lost = {"event": "lost", "message": "The GPU was lost."}
    with page_on(
        speaking, url, {"feed": [{}, {}, {"events": [lost], "silent": True}, {}], "open": [{}, {"after": 700}]}
    ) as page:
        at(page, "speak").click()
        wait_for(page, "loading")
        expect(at(page, "note")).to_have_text("What you say is recorded, and written once the model is open.")
        at(page, "audio-file").set_input_files(SECOND)
        expect(at(page, "error")).to_contain_text("A recording waits for a model")
        wait_for(page, "transcribing")
        expect(at(page, "stop")).to_have_text("Stop and finish")
        at(page, "stop").click()
        wait_for(page, "done")
        samples, _ = recording(page)
        assert len(samples) == fed(page)[-1]["fed"]
        expect(page.get_by_role("meter")).to_be_hidden()


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
    reopened = (
        {"after": 500, "error": {"kind": "device", "message": "The GPU is gone."}}
        if ends == "fails"
        else {"silent": True}
    )
    with page_on(speaking, url, {"open": [{}, reopened, {}]}) as page:
        page.evaluate(MICROPHONE_ASKS)
        at(page, "speak").click()
        expect(at(page, "status")).to_contain_text("Asking for the microphone")
        hear(page, event="lost", message="The GPU was lost.")
        wait_for(page, "loading")
        page.evaluate("allow()")
        expect(page.get_by_role("meter")).to_be_visible()
        page.wait_for_timeout(200)
        if ends == "stopped":
            at(page, "stop").click()
            expect(at(page, "stop")).to_have_text("Stop")
            at(page, "stop").click()
        wait_for(page, "error")
        expect(page.get_by_role("meter")).to_be_hidden()
        assert not page.evaluate("dispatchEvent(new Event('beforeunload', { cancelable: true }))")
        samples, _ = recording(page)
        assert len(samples) > 1600
        at(page, "retry").click()
        if ends == "stopped":  # what was stopped goes on when it is asked for
            wait_for(page, "ready")
            at(page, "again").click()
        wait_for(page, "done")
        assert fed(page)[-1]["fed"] == len(samples)
        expect(at(page, "earlier")).to_be_hidden()


def test_microphone_refused_after_a_file_was_dropped(speaking, url):
    """What is under way keeps its state."""
    with page_on(speaking, url, {"finish": [{"silent": True}]}) as page:
        page.evaluate(MICROPHONE_ASKS)
        at(page, "speak").click()
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "transcribing")
        page.evaluate("refuse()")
        expect(at(page, "error")).to_contain_text("The microphone was refused.")
        wait_for(page, "transcribing")
        expect(at(page, "progress")).to_be_hidden()


def test_microphone_allowed_after_a_file_was_dropped(speaking, url):
    with page_on(speaking, url, {"finish": [{"silent": True}]}) as page:
        page.evaluate(MICROPHONE_ASKS)
        at(page, "speak").click()
        at(page, "audio-file").set_input_files(SECOND)
        wait_for(page, "transcribing")
        page.evaluate("allow()")
        expect(at(page, "error")).to_contain_text("A transcription is under way")
        expect(page.get_by_role("meter")).to_be_hidden()
        wait_for(page, "transcribing")


def test_text_that_falls_behind(speaking, url):
    """The page counts by itself: an engine that has nothing to say is late too."""
    with page_on(speaking, url) as page:
        speak(page, 3.2)
        expect(at(page, "note")).to_contain_text("s behind the voice")
        expect(at(page, "status")).to_have_text("Listening: speak.")
        hear(page, event="covered", audio_seconds=3)
        expect(at(page, "note")).to_be_hidden()


def test_a_slow_engine_is_fed_at_its_pace(browser, url):
    """Of a recording of any length, about a minute lies in the Worker; the rest stays where it was recorded."""
    with page_on(browser, url, {"finish": [{"silent": True}]}) as page:
        page.evaluate("""async () => {
            const [{ Recording }, { transcribe }] = await Promise.all([import("./audio/file.js"), import("./page/transcription.js")]);
            window.recording = new Recording("microphone");
            recording.append(new Float32Array(200 * 16000));
            transcribe(recording);
        }""")
        page.wait_for_function("window.heard.findLast(h => h.fed)?.fed > 60 * 16000")
        page.wait_for_timeout(500)
        assert fed(page)[-1]["fed"] <= 65 * RATE
        hear(page, event="covered", audio_seconds=20)
        expect(at(page, "note")).to_contain_text("The text is 3:00 min behind the voice")
        page.wait_for_function("window.heard.findLast(h => h.fed)?.fed > 80 * 16000")
        page.evaluate("recording.end()")
        hear(page, event="covered", audio_seconds=30)
        expect(at(page, "progress")).to_contain_text("0:30 of 3:20")
        hear(page, event="covered", audio_seconds=190)
        page.wait_for_function("window.heard.findLast(h => h.fed)?.fed === 200 * 16000")
        expect(at(page, "status")).to_have_text("Writing the last words…")
        assert calls(page, "finish")


@pytest.mark.parametrize("lets", [True, False])
def test_microphone_that_the_system_pauses(speaking, url, lets):
    """A call, on a phone: the page asks the system to go on, and says so as long as it does not."""
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


def test_the_page_does_not_close_over_a_recording(speaking, url):
    with page_on(speaking, url) as page:
        speak(page, 0.2)
        assert not page.evaluate("dispatchEvent(new Event('beforeunload', { cancelable: true }))")
        at(page, "stop").click()
        wait_for(page, "done")
        assert page.evaluate("dispatchEvent(new Event('beforeunload', { cancelable: true }))")


def test_no_microphone(browser, url):
    """A real refusal of this browser, which has none."""
    with page_on(browser, url) as page:
        at(page, "speak").click()
        wait_for(page, "error")
        expect(at(page, "error")).to_contain_text("No microphone was found. Plug one in")
        expect(at(page, "speak")).to_be_enabled()


@pytest.mark.parametrize(
    "name, says",
    [
        ("NotAllowedError", "The microphone was refused. Allow it for this page"),
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
    with page_on(speaking, url, query="?autostart=1") as page:
        page.wait_for_timeout(200)
        expect(at(page, "speak")).to_be_enabled()
        expect(page.get_by_role("meter")).to_be_hidden()
