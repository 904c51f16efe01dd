"""What the microphone heard: kept as 16 bit, read while it grows, saved as a WAV file."""

import base64
import io
import struct

import numpy as np
import pytest
import soundfile

RATE = 16000
SEAL = 10 * RATE  # samples after which a recording moves what it has into a Blob
BLOCK = 5 * RATE  # samples that it gives at a time


@pytest.fixture(scope="module")
def page(browser, url):
    page = browser.new_page()
    page.goto(f"{url}/style.css")  # any document of the site
    page.evaluate("async () => { Object.assign(window, await import('./modules/audio/recording.js')); }")
    yield page
    page.close()


def recorded(page, samples, appended=1280):
    """The lengths of the blocks that a recording of these samples gives, all of them joined, and its WAV file."""
    lengths, joined, wav = page.evaluate(
        """async ([data, appended]) => {
            const samples = new Float32Array(Uint8Array.fromBase64(data).buffer);
            const recording = new Recording("microphone");
            for (let at = 0; at < samples.length; at += appended) recording.append(samples.subarray(at, at + appended));
            recording.end();
            const blocks = [];
            for await (const block of recording.blocks()) blocks.push(block);
            const bytes = async (blob) => new Uint8Array(await blob.arrayBuffer()).toBase64();
            return [blocks.map(({ length }) => length), await bytes(new Blob(blocks)), await bytes(recording.wav())];
        }""",
        [base64.b64encode(samples.astype("float32").tobytes()).decode(), appended],
    )
    return lengths, np.frombuffer(base64.b64decode(joined), "float32"), base64.b64decode(wav)


def test_samples_are_rounded_to_the_nearest(page):
    """As soundfile writes them: with halves, signs and values beyond full scale."""
    steps = np.array([0, 0.4, 0.6, -0.4, -0.6, 1.5, 100.7, -100.7, 32767.4, 32768, 40000, -32768, -40000])
    _, got, wav = recorded(page, steps / 32768)
    assert list(got * 32768) == [0, 0, 1, 0, -1, 2, 101, -101, 32767, 32767, 32767, -32768, -32768]
    saved, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    assert rate == RATE and np.array_equal(saved, got)


@pytest.mark.parametrize("samples", [0, 1, SEAL - 1, SEAL, SEAL + 1, 2 * SEAL, 2 * SEAL + BLOCK + 777])
def test_a_recording_of_any_length_is_whole(page, samples):
    """Also if the samples in memory have just become a Blob."""
    told = np.random.default_rng(samples).integers(-32768, 32768, samples) / 32768
    lengths, got, wav = recorded(page, told)
    assert np.array_equal(got, told.astype("float32")) and sum(lengths) == samples
    assert all(0 < length <= 2 * BLOCK for length in lengths)
    assert np.array_equal(soundfile.read(io.BytesIO(wav), dtype="float32")[0], got)
    # Libsndfile forgives wrong sizes, other programs do not.
    assert struct.unpack_from("<I", wav, 4) == (len(wav) - 8,) and struct.unpack_from("<I", wav, 40) == (2 * samples,)


def test_what_comes_later_is_waited_for(page):
    """Several read the same recording, each from its start."""
    assert page.evaluate(
        """async () => {
            const recording = new Recording("microphone");
            const first = recording.blocks();
            const lengths = [];
            let waiting = first.next();
            recording.append(new Float32Array(3));
            lengths.push((await waiting).value.length);
            waiting = first.next();
            recording.append(new Float32Array(4));
            lengths.push((await waiting).value.length, (await recording.blocks().next()).value.length);
            waiting = first.next();
            recording.end();
            return [...lengths, (await waiting).done, recording.live, recording.seconds * 16000];
        }"""
    ) == [3, 4, 7, True, False, 7]
