"""Which audio the arguments of a command name: files, folders, addresses, standard input."""

import os
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath

from voxtab.errors import shown

STDIN = "-"

# What is audio, or video with sound, in a folder. A file that is named itself may have any suffix.
AUDIO_SUFFIXES = frozenset(
    [
        ".3gp",
        ".aac",
        ".ac3",
        ".aif",
        ".aifc",
        ".aiff",
        ".amr",
        ".ape",
        ".asf",
        ".au",
        ".avi",
        ".caf",
        ".dts",
        ".flac",
        ".flv",
        ".m2ts",
        ".m4a",
        ".m4b",
        ".m4v",
        ".mka",
        ".mkv",
        ".mov",
        ".mp2",
        ".mp3",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".oga",
        ".ogg",
        ".ogv",
        ".opus",
        ".ra",
        ".rm",
        ".spx",
        ".tta",
        ".voc",
        ".w64",
        ".wav",
        ".weba",
        ".webm",
        ".wma",
        ".wmv",
        ".wv",
    ]
)


@dataclass(frozen=True)
class Input:
    """One audio that is to be transcribed."""

    source: str  # as open_audio() takes it
    place: PurePath  # its name in a folder of results, with its suffix


def find_inputs(names: list[str], recursive: bool, complain: Callable[[str], None]) -> list[Input]:
    """What `names` stand for, in their order; what a folder holds is sorted. Whatever is not there is complained of."""
    found: list[Input] = []
    for name in names:
        if name == STDIN:
            found.append(Input(name, PurePath("stdin")))
        elif is_address(name):
            parts = urllib.parse.urlsplit(name)
            last = urllib.parse.unquote(parts.path.rpartition("/")[2])
            last = "".join(letter if letter.isprintable() and letter not in "/\\" else "_" for letter in last)
            found.append(Input(name, PurePath(last if last.strip(".") else parts.netloc)))
        elif os.path.isdir(name):
            found += _in_folder(Path(name), recursive, complain)
        else:
            try:
                os.stat(name)
            except FileNotFoundError:
                complain(f"{shown(name)} does not exist: name an audio file.")
            except (OSError, ValueError) as error:  # ValueError: it has a character that no path has
                reason = getattr(error, "strerror", None) or "it is not a valid path"
                complain(f"{shown(name)} cannot be read ({reason}): name an audio file.")
            else:
                found.append(Input(name, PurePath(PurePath(name).name)))
    return found


def is_address(name: str) -> bool:
    return name.lower().startswith(("http://", "https://"))


def _in_folder(folder: Path, recursive: bool, complain: Callable[[str], None]) -> list[Input]:
    def unreadable(error: OSError) -> None:
        complain(f"{shown(str(error.filename))} cannot be read ({error.strerror}): its files are left out.")

    found, has_folders = [], False
    for parent, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in sorted(files):
            path = Path(parent, file)
            if path.suffix.lower() in AUDIO_SUFFIXES and not file.startswith("."):
                found.append(Input(str(path), PurePath(path.relative_to(folder))))
        if not recursive:
            has_folders = bool(folders)
            break
    if not found:
        complain(
            f"{shown(str(folder))} holds no audio files: "
            + ("use --recursive to look into its folders." if has_folders else "name audio files.")
        )
    return found
