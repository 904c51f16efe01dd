#!/usr/bin/env python3
"""Step 4 for plain English: real speech in the form of synthesize.py, with word ends by Whisper-base.

Where the list has no text (librispeech-speakers), Whisper-base writes it; librispeech_texts.tsv has what was put right
by hand, of people kept for validation. Where it has one, Whisper is made to read it (forced decoding). Its attention
tells the times. --words takes what is there from the list of an earlier run instead, and --no-whisper leaves out the
rest. `sure` is the mean log-probability that Whisper gives the text: training leaves out what is least sure. --held-out
takes the people kept for validation: every sixth reader of librispeech-speakers, every fifth of speechocean's speakers
above 16 years, in order of their names. What one of them says word for word is left out of training too."""

import argparse
import csv
import json
import re
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr
from compare_whisper import model_folder
from english import normalised, proper_names, tidy, write_out

FASTEST = 6  # words a second; Whisper may fall into a loop


def held_out(rows, corpus):
    """speakers for validation"""
    if corpus == "librispeech-speakers":
        return set(sorted({r["speaker"] for r in rows})[::6])
    if corpus == "speechocean-train":
        return set(sorted({r["speaker"] for r in rows if int(re.search(r"age=(\d+)", r["note"])[1]) > 16})[::5])
    return set()


def others(rows, kept):
    """rows of speakers who are not kept for validation, without what one of those says too"""

    def said(row):
        return " ".join(normalised(row["text"]))

    heard = {said(r) for r in rows if r["speaker"] in kept} - {""}
    return [r for r in rows if r["speaker"] not in kept and said(r) not in heard]


def read_corpus(folder, corpus):
    """(rows with start, length, speaker, utterance, text; samples at 16 kHz)"""
    if corpus != "librivox":
        with open(folder / f"{corpus}.tsv", encoding="utf-8") as f:
            rows = list(csv.DictReader(f, delimiter="\t"))
        with open(Path(__file__).with_name("librispeech_texts.tsv"), encoding="utf-8") as f:
            right = {r["utterance"]: r["text"] for r in csv.DictReader(f, delimiter="\t")}
        for r in rows:
            r["text"] = right.get(r["utterance"], r["text"])
        samples, rate = soundfile.read(folder / f"{corpus}.opus", dtype="float32")
        return rows, soxr.resample(samples, rate, 16000) if rate != 16000 else samples
    rows, clips = [], []  # Debian's pocketsphinx-testdata
    for line in (folder / "transcription").read_text(encoding="utf-8").splitlines():
        text, name = re.fullmatch(r"<s> (.*) </s> \((.*)\)", line).groups()
        rows.append({"start": sum(map(len, clips)), "speaker": "librivox", "utterance": name, "text": text})
        clips.append(soundfile.read(folder / f"{name}.wav", dtype="float32")[0])
        rows[-1]["length"] = len(clips[-1])
    return rows, np.concatenate(clips)


def as_written(text, names):
    """words in the characters that the model writes, or None; of one or several sentences"""
    text = re.sub(r"\s*(--|—|;|:)\s*", ", ", text.replace("’", "'").replace('"', "")).replace("-", " ").strip()
    if not re.fullmatch(r"[A-Za-z',.?! ]+", text) or re.search(r"[A-Z]{2}", text) or not normalised(text):
        return None
    return write_out(re.sub(r"\.\.+", ",", re.sub(r" '|' ", " ", text)), names).split()


class Reader:
    """Whisper-base through faster-whisper"""

    def __init__(self, texts, threads):
        from faster_whisper import WhisperModel
        from faster_whisper.tokenizer import Tokenizer

        with tempfile.TemporaryDirectory() as scratch:
            self.whisper = WhisperModel(
                model_folder(Path(scratch)), device="cpu", compute_type="int8", cpu_threads=threads
            )
        self.tokenizer = Tokenizer(self.whisper.hf_tokenizer, True, task="transcribe", language="en")
        lines = (line for p in texts.glob("*.txt") for line in p.read_text(encoding="utf-8").splitlines())
        self.names = proper_names(filter(None, map(tidy, lines)))

    def look(self, samples):
        """the encoder's states, with a second of silence after the clip, and the clip's frames"""
        features = self.whisper.feature_extractor(samples, padding=0)[:, :-1]
        frames = features.shape[-1]
        return self.whisper.encode(
            np.pad(features, ((0, 0), (0, min(100, 3000 - frames))), constant_values=features.min())
        ), frames

    def text(self, seen):
        prompt = [*self.tokenizer.sot_sequence, self.tokenizer.no_timestamps]
        return self.tokenizer.decode(self.whisper.model.generate(seen, [prompt], beam_size=1)[0].sequences_ids[0])

    def times(self, seen, frames, words):
        """end in seconds and log-probability of each word"""
        tokens = self.tokenizer.encode(" " + " ".join(words))
        found = self.whisper.find_alignment(self.tokenizer, [tokens], seen, frames)[0]
        ends, logs, at = [], [], 0
        spoken = [(w["word"], float(w["end"]), float(np.log(max(w["probability"], 1e-9)))) for w in found]
        for word in words:  # one of ours may be several of Whisper's
            have, log = "", []
            while at < len(spoken) and len(have) < len(word):
                have, end = have + spoken[at][0].strip(), spoken[at][1]
                log.append(spoken[at][2])
                at += 1
            if have != word:
                return None
            ends.append(end)
            logs.append(np.mean(log))
        return ends, logs

    def read(self, clip, text):
        """{"sure", "words"}, or None where Whisper cannot read the text"""
        seen, frames = self.look(clip)
        words = as_written(text or self.text(seen), self.names)
        got = words and len(words) < FASTEST * len(clip) / 16000 and self.times(seen, frames, words)
        if not got:
            return None
        ends = before_the_pause(clip, got[0])
        return {
            "sure": round(float(np.mean(got[1])), 2),
            "words": [[w, round(float(e), 2)] for w, e in zip(words, ends)],
        }


def before_the_pause(samples, ends):
    """word ends moved back over silence: attention gives the place where the next word begins"""
    hop = 320
    loud = np.sqrt((samples[: len(samples) // hop * hop].reshape(-1, hop) ** 2).mean(1))
    speech = np.flatnonzero(loud > 0.1 * np.percentile(loud, 95))
    moved, start = [], 0.0
    for end in ends:
        inside = speech[(speech >= (start + 0.04) * 50) & (speech < end * 50)]
        moved.append(min(end, (inside[-1] + 1) / 50 + 0.02) if len(inside) else end)
        start = end
    return moved


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument(
        "folder",
        help="where CORPUS.opus and CORPUS.tsv are; for librivox the folder of that name in pocketsphinx-testdata",
    )
    a.add_argument("corpus", choices=["librispeech-speakers", "speechocean-train", "vctk-few", "librivox"])
    a.add_argument("out", help="prefix of the two files to write")
    a.add_argument("--texts", help="folder of *.txt, for the names that are written with a capital")
    a.add_argument("--held-out", action="store_true")
    a.add_argument("--words", help="the .jsonl of an earlier run")
    a.add_argument("--no-whisper", action="store_true")
    a.add_argument("--threads", type=int, default=1)
    a = a.parse_args()
    folder = Path(a.folder)
    rows, samples = read_corpus(folder, a.corpus)
    kept = held_out(rows, a.corpus)
    rows = [r for r in rows if r["speaker"] in kept] if a.held_out else others(rows, kept)
    known = (
        {c["utterance"]: c for c in map(json.loads, Path(a.words).read_text(encoding="utf-8").splitlines())}
        if a.words
        else {}
    )
    reader = None if a.no_whisper else Reader(Path(a.texts), a.threads)
    done, left_out = 0, 0
    with open(a.out + ".i16", "wb") as audio, open(a.out + ".jsonl", "w", encoding="utf-8") as index:
        for r in rows:
            clip = samples[int(r["start"]) : int(r["start"]) + int(r["length"])]
            clip = clip / max(np.abs(clip).max(), 1e-3) * 0.5
            entry = known.get(r["utterance"]) or (reader and reader.read(clip, r["text"]))
            if entry is None:
                left_out += 1
                continue
            audio.write(np.round(clip * 32767).astype("<i2").tobytes())
            index.write(
                json.dumps(
                    {
                        "start": done,
                        "n": len(clip),
                        "voice": r["speaker"],
                        "group": a.corpus,
                        "utterance": r["utterance"],
                        "sure": entry["sure"],
                        "first": 0.02,
                        "words": entry["words"],
                    }
                    | {k: entry[k] for k in ("phonemes",) if k in entry}
                )
                + "\n"
            )
            index.flush()
            done += len(clip)
    print(f"{a.corpus}: {done / 3600 / 16000:.2f} h, {left_out} clips left out; {len(kept)} speakers held out")


if __name__ == "__main__":
    main()
