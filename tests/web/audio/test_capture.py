"""The AudioWorklet's blocks, from a processor that the test drives as a browser does."""

import numpy as np
import pytest

from voxtab.config import LOOKAHEAD_SAMPLES, SAMPLE_RATE, SAMPLES_PER_TOKEN

QUANTUM = 128  # samples that a browser hands over at a time


def captured(page, rate, quanta):
    """The blocks that are sent for `quanta` quanta of a ramp: while they come, at the stop, and after it.

    They go to the page and to the port that it gave.
    """
    return page.evaluate(
        """async ([rate, quanta, quantum]) => {
            let Capture;
            const sent = [];
            Object.assign(globalThis, {
                sampleRate: rate,
                AudioWorkletProcessor: class { port = { postMessage: (block) => sent.push(block) }; },
                registerProcessor: (name, made) => { Capture = made; },
            });
            await import(`./modules/audio/capture-worklet.js?${rate}-${quanta}`);
            const capture = new Capture();
            const next = (i) => capture.process([[Float32Array.from({ length: quantum }, (_, j) => i * quantum + j)]]);
            const goesOn = [next(0)];  // not heard, as it has no port
            const kept = [];
            capture.port.onmessage({ data: { ports: [{ postMessage: (block) => kept.push(block) }] } });
            for (let i = 0; i < quanta; i++) goesOn.push(next(i));
            const during = sent.splice(0);
            capture.port.onmessage({ data: { stop: true } });
            const atStop = sent.splice(0);
            goesOn.push(next(quanta));
            if (JSON.stringify(kept) !== JSON.stringify([...during, ...atStop, ...sent])) throw new Error("not kept");
            const times = [...during, ...atStop].filter(Boolean).map(({ at }) => at - Date.now() / 1000);
            if (times.some((time) => !(time <= 0 && time > -60))) throw new Error(times);
            const samples = (blocks) => blocks.map((block) => block && [...block.samples]);
            return [samples(during), samples(atStop), sent, goesOn];
        }""",
        [rate, quanta, QUANTUM],
    )


def test_a_block_is_sent_as_soon_as_it_completes_a_tokens_audio(page):
    during, at_stop, after, goes_on = captured(page, 16000, 45)
    assert [len(block) for block in during] == [
        SAMPLES_PER_TOKEN + LOOKAHEAD_SAMPLES,
        *[SAMPLES_PER_TOKEN] * 3,
    ]
    (rest, end) = at_stop
    assert end is None and after == [] and goes_on == [True] * 46 + [False]
    # Nothing is lost, least of all the end.
    assert np.concatenate([*during, rest]).tolist() == list(range(45 * QUANTUM))


def test_a_stop_where_nothing_is_left(page):
    """Only the end marker is sent."""
    _, at_stop, after, _ = captured(page, 16000, 0)
    assert at_stop == [None] and after == []


def test_another_rate(page):
    during, at_stop, _, _ = captured(page, 48000, 300)
    assert len(during[0]) == SAMPLES_PER_TOKEN + LOOKAHEAD_SAMPLES
    assert 0 <= 300 * QUANTUM / 3 - sum(len(block) for block in (*during, at_stop[0])) < 60


def test_a_pause(page):
    """It takes silence at once, then nothing. The blocks' times go on as if it had not been."""
    silence, times = page.evaluate("""async () => {
        let Capture;
        const sent = [];
        let now = 1e9;
        Date.now = () => now;
        Object.assign(globalThis, {
            sampleRate: 48000,
            AudioWorkletProcessor: class { port = { postMessage: (block) => sent.push(block) }; },
            registerProcessor: (name, made) => { Capture = made; },
        });
        await import("./modules/audio/capture-worklet.js?pause");
        const capture = new Capture();
        const hear = (data) => capture.port.onmessage({ data });
        const second = () => {
            for (let i = 0; i < 375; i++, now += 1000 / 375) capture.process([[new Float32Array(128).fill(0.5)]]);
        };
        hear({ ports: [] });
        second();
        hear({ pause: 2 });
        const before = sent.length;
        second(); // not heard
        now += 60000;
        if (sent.length !== before) throw new Error("it was heard");
        hear({ resume: true });
        second();
        hear({ stop: true });
        let seconds = 0;
        let late = sent.slice(0, -1).map(({ samples, at }) => at - (seconds += samples.length / 16000));
        return [sent.flatMap((block) => [...(block?.samples ?? [])]).filter((x) => Math.abs(x) < 1e-3).length, late];
    }""")
    assert silence == pytest.approx(2 * SAMPLE_RATE, abs=200)
    assert max(times) - min(times) < 0.01
