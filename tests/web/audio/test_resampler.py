"""The microphone's resampler: any rate -> 16 kHz, in any blocks."""

import numpy as np
import pytest
import soxr

from web.audio.tones import RATE, tone


def resampled(page, samples, rate, block=128):
    return np.array(
        page.evaluate(
            """async ([samples, rate, block]) => {
        const { Resampler } = await import("./modules/audio/resampler.js");
        const resampler = new Resampler(rate);
        const all = [];
        for (let at = 0; at < samples.length; at += block)
            all.push(...resampler.push(Float32Array.from(samples.slice(at, at + block))));
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
    assert 0 <= RATE / 4 - len(got) < 110
    times = np.arange(len(got)) / RATE
    inner = slice(200, -200)
    assert np.abs(got - 0.5 * np.sin(2 * np.pi * hertz * times))[inner].max() < 0.005


def test_resampler_takes_away_what_16_khz_cannot_hold(page):
    assert np.abs(resampled(page, tone(48000, 9000, 0.25), 48000)[200:]).max() < 0.0005


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_resampler_agrees_with_soxr(page, rate):
    """Which the command line uses: to 1 / 1000 below 7 kHz, where the two differ by how they end at 8 kHz."""
    noise = np.random.default_rng(0).uniform(-1, 1, rate // 2)
    got = resampled(page, noise, rate, 1000)
    difference = got - soxr.resample(noise.astype("float32"), rate, RATE, "HQ")[: len(got)]
    window = np.hanning(len(got) - 400)
    power = np.abs(np.fft.rfft([part[200:-200] * window for part in (difference, got)])) ** 2
    whole, below = power.sum(axis=1), power[:, : power.shape[1] * 7 // 8].sum(axis=1)
    assert below[0] < 1e-6 * below[1] and whole[0] < 1e-3 * whole[1]


def test_resampler_does_not_depend_on_the_blocks(page):
    samples = np.random.default_rng(0).uniform(-1, 1, 6000)
    assert np.array_equal(resampled(page, samples, 44100, 128), resampled(page, samples, 44100, 1000))
