"""What tools/check_audio runs: the length of each file by Voxtab and by ffmpeg."""

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from voxtab.config import SAMPLE_RATE
from voxtab.errors import AudioError
from voxtab.native.audio.file import open_audio

DIFFERENCE = 0.1  # seconds
AUDIO = """
    3g2 3gp aac ac3 aif aifc aiff amr ape asf au avi caf dff dsf eac3 flac flv g722 gsm m2ts m4a m4b m4r m4v mka mkv mov
    mp+ mp1 mp2 mp3 mp4 mpc mpeg mpg oga ogg ogv ogx oma opus qt ra rf64 snd spx tak ts tta voc w64 wav wave weba webm
    wma wmv wv
"""
SUFFIXES = set(AUDIO.split())


def by_ffmpeg(path: Path) -> float | None:
    """Seconds; None if it decodes nothing."""
    command = ["ffmpeg", "-v", "quiet", "-nostdin", "-i", f"file:{path}", "-map", "0:a:0", "-f", "f32le"]
    command += ["-ac", "1", "-ar", str(SAMPLE_RATE), "-"]
    size = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        while data := process.stdout.read(1 << 20):
            size += len(data)
    return size / 4 / SAMPLE_RATE or None


def by_voxtab(path: Path) -> tuple[float | None, str]:
    """(seconds, what Voxtab says)"""
    seconds, audio = 0.0, None
    try:
        audio = open_audio(path)
        for block in audio.samples():
            seconds += len(block) / SAMPLE_RATE
    except AudioError as error:
        return seconds or None, str(error)
    return seconds, " ".join(audio.notes)


def main() -> None:
    files = sorted(
        path
        for folder in sys.argv[1:]
        for path in Path(folder).rglob("*")
        if path.is_file() and path.suffix[1:].lower() in SUFFIXES
    )
    kinds: Counter[str] = Counter()
    with ThreadPoolExecutor() as pool:
        for path, theirs in zip(files, pool.map(by_ffmpeg, files), strict=True):
            ours, said = by_voxtab(path)
            if ours is None and theirs is None:
                kinds["refused by both"] += 1
            elif abs((ours or 0) - (theirs or 0)) <= DIFFERENCE:  # ffmpeg gives nothing of a few samples
                kinds["equal"] += 1
            else:
                kinds["different"] += 1
                print(f"{path}: {_shown(ours)} here, {_shown(theirs)} by ffmpeg. {said}")
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    print(f"{len(files)} files: {counts}")
    sys.exit(kinds["different"] > 0)


def _shown(seconds: float | None) -> str:
    return "nothing" if seconds is None else f"{seconds:.2f} s"


if __name__ == "__main__":
    main()
