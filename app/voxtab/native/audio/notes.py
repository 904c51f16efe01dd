"""What the listener of an audio should know of it: one sentence each."""

from collections.abc import Iterator

from voxtab.native.audio.decoding import Decoding


class Note(str):
    """What the listener of an audio file should know: one sentence, to follow its name."""

    lost: bool  # audio is missing in the transcript: the command's exit status is 2

    def __new__(cls, text: str, lost: bool = False):
        note = super().__new__(cls, text)
        note.lost = lost
        return note


def notes_of(decoding: Decoding) -> Iterator[Note]:
    if tracks := decoding.tracks:
        yield Note(f"has {len(tracks)} audio tracks ({', '.join(tracks)}): the first one is transcribed.")
    for pause, what in ((False, "damaged or missing, and left out"), (True, "without sound, and left out")):
        if places := [damage for damage in decoding.damage if damage.pause == pause]:
            yield Note(f"{listed([(place.at, place.seconds) for place in places])}: {what}.", lost=not pause)
    if decoding.cut_at is not None:
        yield Note(
            f"it ends at {decoding.cut_at:.2f} s in the middle of a frame: it is cut off, and how much is missing is "
            "not known.",
            lost=True,
        )
    if decoding.unfinished_at is not None:
        yield Note(
            f"its Ogg stream has no mark of its end at {decoding.unfinished_at:.2f} s: it may be cut off, or the "
            "program that wrote it sets none."
        )
    if decoding.unread_bytes:
        yield Note(
            f"{decoding.unread_bytes:,} bytes follow the end of the WAV file, and cannot be read from a pipe: name the "
            "file itself.",
            lost=True,
        )


def listed(places: list[tuple[float, float]]) -> str:
    """(seconds before it, its seconds) -> the first five in words."""
    text = ", ".join(f"{seconds:.2f} s at {at:.2f} s" for at, seconds in places[:5])
    return f"{text}, and {len(places) - 5} more places" if len(places) > 5 else text
