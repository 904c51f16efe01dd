#!/usr/bin/env python3
"""Step 2: read texts aloud with word ends. Writes OUT-NN.i16 (16 kHz samples, clips end to end)
and OUT-NN.jsonl (one clip a line: start, n, voice, group, words [[word, end in seconds], ...]).

Engines (see README.md for what each needs): hibari, kokoro, flite, pico."""

import argparse
import ctypes
import json
import os
import random
import re
import time
from multiprocessing import Process
from pathlib import Path

import numpy as np
import soxr
from align import carry_ends
from texts import transcript

HELD_OUT = {
    "kokoro": ["af_nova", "am_liam", "bf_lily", "bm_george", "if_sara", "hm_psi"],
    "flite": ["rms"],
    "hibari": [],
    "pico": [],
}
PHONEME_PUNCTUATION = set(';:,.!?—…"“” ')
LEAD, TAIL = 0.02, 0.12  # seconds kept around the words


def linked(say):
    """the letter A is otherwise read as the article"""
    return re.sub(r"\bA\b", "[A](/ˈA/)", say)


def word_times(phonemes, counts, seconds):
    """start of the first word and end of every word, from one duration count a phoneme
    (`counts` has one more on each side for the pads)"""
    edges = np.cumsum(counts) * seconds / np.sum(counts)
    ends, last, first = [], None, None
    for i, c in enumerate(phonemes + " "):
        if c == " ":
            if last is not None:
                ends.append(float(edges[last + 1]))
            last = None
        elif c not in PHONEME_PUNCTUATION:
            last = i
            if first is None:
                first = float(edges[i])
    return first, ends


def with_durations(path, node):
    """the ONNX graph with one more output: durations in frames a phoneme"""
    import onnx

    model = onnx.load(path)
    model.graph.output.append(onnx.helper.make_tensor_value_info(node, onnx.TensorProto.FLOAT, None))
    return model.SerializeToString()


def session(model):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class HibariVoice:
    rate = 24000
    voices = ["heart"]

    def __init__(self, folder):
        from hibari import Hibari

        self.tts = Hibari()
        self.session = session(with_durations(self.tts.model_path, "/Clip_output_0"))

    def speak(self, say, voice, r):
        from hibari import dsp

        phonemes = " ".join(self.tts.phonemize(linked(say)))
        phonemes = "".join(c for c in phonemes if c in self.tts.vocab)
        feeds = {
            "ids": np.array([self.tts.ids(phonemes)], np.int64),
            "speed": np.array([r.uniform(0.75, 1.35)], np.float32),
        }
        *parts, durations = self.session.run(None, feeds)
        samples = dsp.synth(*(p[0] for p in parts), np.random.default_rng(r.getrandbits(32)))
        return samples, *word_times(phonemes, durations.ravel(), len(samples) / self.rate)


class Kokoro:
    """folder: kokoro.onnx (plain f32 graph, see kokoro_graph.py), vocab.json, voices/*.bin"""

    rate = 24000

    def __init__(self, folder):
        from hibari import Hibari

        self.phonemize = Hibari().phonemize
        self.vocab = json.loads((folder / "vocab.json").read_text())["vocab"]
        self.styles = {
            p.stem: np.fromfile(p, np.float32).reshape(-1, 1, 256) for p in sorted((folder / "voices").glob("*.bin"))
        }
        self.voices = list(self.styles)
        self.session = session(with_durations(str(folder / "kokoro.onnx"), "/encoder/Clip_output_0"))

    def speak(self, say, voice, r):
        phonemes = "".join(c for c in " ".join(self.phonemize(linked(say))) if c in self.vocab)
        ids = [self.vocab[c] for c in phonemes]
        style = self.styles[voice][len(ids)]
        if voice not in HELD_OUT["kokoro"] and r.random() < 0.5:  # blends are voices of their own
            other = r.choice([v for v in self.voices if v not in HELD_OUT["kokoro"]])
            style = style + r.uniform(0.2, 0.8) * (self.styles[other][len(ids)] - style)
        feeds = {
            "tokens": np.array([[0] + ids + [0]], np.int64),
            "style": style,
            "speed": np.array([r.uniform(0.8, 1.3)], np.float32),
        }
        samples, durations = self.session.run(None, feeds)
        samples = samples.ravel()
        return samples, *word_times(phonemes, durations.ravel(), len(samples) / self.rate)


class Flite:
    rate = 16000
    voices = ["slt", "rms", "awb", "kal16"]

    def __init__(self, folder):
        pointer, text = ctypes.c_void_p, ctypes.c_char_p

        def load(name):
            return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)

        self.lib = load("libflite.so.1")
        load("libflite_cmulex.so.1"), load("libflite_usenglish.so.1")
        self.lib.flite_init()

        class Wave(ctypes.Structure):
            _fields_ = [
                ("type", text),
                ("rate", ctypes.c_int),
                ("n", ctypes.c_int),
                ("channels", ctypes.c_int),
                ("samples", ctypes.POINTER(ctypes.c_short)),
            ]

        class Voice(ctypes.Structure):
            _fields_ = [("name", text), ("features", pointer)]

        for name, result, arguments in (
            ("flite_synth_text", pointer, [text, pointer]),
            ("utt_wave", ctypes.POINTER(Wave), [pointer]),
            ("utt_relation", pointer, [pointer, text]),
            ("relation_head", pointer, [pointer]),
            ("item_next", pointer, [pointer]),
            ("delete_utterance", None, [pointer]),
            ("ffeature_string", text, [pointer, text]),
            ("ffeature_float", ctypes.c_float, [pointer, text]),
            ("feat_set_float", None, [pointer, text, ctypes.c_float]),
        ):
            getattr(self.lib, name).restype, getattr(self.lib, name).argtypes = result, arguments
        self.handles = {}
        for name in self.voices:
            register = getattr(load(f"libflite_cmu_us_{name}.so.1"), f"register_cmu_us_{name}")
            register.restype, register.argtypes = ctypes.POINTER(Voice), [text]
            self.handles[name] = register(None)

    def speak(self, say, voice, r):
        handle = self.handles[voice]
        self.lib.feat_set_float(handle.contents.features, b"duration_stretch", r.uniform(0.8, 1.25))
        utterance = self.lib.flite_synth_text(say.encode(), ctypes.cast(handle, ctypes.c_void_p))
        wave = self.lib.utt_wave(utterance).contents
        samples = np.ctypeslib.as_array(wave.samples, (wave.n,)).astype(np.float32) / 32768
        item = self.lib.relation_head(self.lib.utt_relation(utterance, b"Word"))
        first, ends, phones = self.lib.ffeature_float(item, b"R:SylStructure.daughter.daughter.R:Segment.p.end"), [], []
        while item:
            ends.append(self.lib.ffeature_float(item, b"R:SylStructure.daughtern.daughtern.R:Segment.end"))
            phones.append(self.lib.ffeature_string(item, b"R:SylStructure.daughtern.daughtern.name"))
            item = self.lib.item_next(item)
        self.lib.delete_utterance(utterance)
        letters = [w.strip(",.?") for w in say.split()]
        if len(letters) == len(phones) and any(w == "A" and p != b"ey" for w, p in zip(letters, phones)):
            return None  # read as the article
        return samples, first, ends


class Pico:
    rate = 16000
    voices = ["en-US", "en-GB"]

    def __init__(self, folder):
        from py_nanotts import NanoTTS

        self.tts, self.flite = NanoTTS(), Flite(folder)

    def speak(self, say, voice, r):
        reference = self.flite.speak(say, "slt", random.Random(0))
        if reference is None:
            return None
        say = re.sub(r"\bA(?![,\w])", "A,", say)
        pcm = self.tts.speak(say, voice, speed=r.uniform(0.75, 1.3), pitch=r.uniform(0.75, 1.35))
        samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
        loud = np.flatnonzero(np.abs(samples) > 0.02)
        if not len(loud):
            return None
        samples = samples[max(0, loud[0] - 800) : loud[-1] + 800]
        source, first, ends = reference
        return samples, 0.05, carry_ends(ends, source[: int((ends[-1] + 0.05) * 16000)], samples)


ENGINES = {"hibari": HibariVoice, "kokoro": Kokoro, "flite": Flite, "pico": Pico}


def clip(engine, text, voice, r):
    """one clip cut to its words: (16 kHz int16 samples, [[word, end]]) or None where words and times do not match"""
    try:
        spoken = engine.speak(text["say"], voice, r)
    except (KeyError, IndexError):
        return None
    words = text["text"].split() if "text" in text else transcript(text["say"])
    if spoken is None or len(spoken[2]) != len(words):
        return None
    samples, first, ends = spoken
    begin = max(0.0, first - LEAD)
    samples = samples[int(begin * engine.rate) : int((ends[-1] + TAIL) * engine.rate)]
    if engine.rate != 16000:
        samples = soxr.resample(samples, engine.rate, 16000)
    peak = np.abs(samples).max()
    if peak < 0.01 or len(samples) > 14 * 16000:
        return None
    samples = np.round(samples * (0.5 / peak) * 32767).astype("<i2")
    return samples, [[w, round(e - begin, 3)] for w, e in zip(words, ends)]


def work(a, number):
    os.nice(10)
    engine = ENGINES[a.engine](Path(a.folder))
    held_out = HELD_OUT[a.engine]
    voices = [v for v in engine.voices if (v in held_out) == a.held_out]
    r = random.Random(a.seed * 1000 + number)
    texts = [json.loads(line) for line in Path(a.texts).read_text(encoding="utf-8").splitlines()]
    r.shuffle(texts)
    begun, done, tried, made = time.time(), 0, 0, 0
    with (
        open(f"{a.out}-{number:02}.i16", "wb") as audio,
        open(f"{a.out}-{number:02}.jsonl", "w", encoding="utf-8") as index,
    ):
        for text in texts:
            if done > a.hours * 3600 * 16000 / a.workers or time.time() - begun > a.minutes * 60:
                break
            voice = r.choice(voices)
            tried += 1
            got = clip(engine, text, voice, r)
            if got is None:
                continue
            samples, words = got
            audio.write(samples.tobytes())
            audio.flush()
            index.write(
                json.dumps(
                    {
                        "start": done,
                        "n": len(samples),
                        "voice": f"{a.engine}/{voice}",
                        "group": text["group"],
                        "words": words,
                    }
                )
                + "\n"
            )
            index.flush()
            done += len(samples)
            made += 1
    print(
        f"{a.out}-{number:02}: {made} clips of {tried} texts, {done / 16000 / 3600:.3f} h "
        f"at {done / 16000 / (time.time() - begun):.1f} x real time",
        flush=True,
    )


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("engine", choices=ENGINES)
    a.add_argument("texts", help="the .jsonl of texts.py or english.py")
    a.add_argument("out", help="prefix of the files to write")
    a.add_argument("--folder", default=".", help="Kokoro's files")
    a.add_argument("--hours", type=float, default=1.0, help="stop after so much audio in all")
    a.add_argument("--minutes", type=float, default=1e9, help="or after that many minutes of work")
    a.add_argument("--workers", type=int, default=1)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--held-out", action="store_true", help="use the voices kept for validation instead of the others")
    a = a.parse_args()
    jobs = [Process(target=work, args=(a, i)) for i in range(a.workers)]
    [j.start() for j in jobs]
    [j.join() for j in jobs]


if __name__ == "__main__":
    main()
