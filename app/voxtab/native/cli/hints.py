"""What to do instead: for options of other programs, misspelt ones, and files that look like options."""

import difflib
import os
import re
from collections.abc import Callable, Iterable

from voxtab.native.cli.inputs import AUDIO_SUFFIXES, is_address
from voxtab.native.formats import ALL, SUFFIXES

_DECODING = "leave it out, for the model has no such setting"
_LANGUAGE = "leave it out, for the model hears by itself which language is spoken"
_TRANSLATE = "leave it out, for the model writes what is spoken and does not translate"
_GPU = "leave it out, for the strongest GPU computes, or choose one with --gpu"
_FILES = "name audio files without an option"
_LINES = "leave it out, for a line of subtitles has 42 characters at most"
_TIMES = "leave it out, for text has no times unless --timestamps is given"
_PROGRESS = "leave it out, for a terminal shows the progress, and stdout has only the text"
_PROMPT = "leave it out, for the model takes no prompt"
_SPEAKERS = "leave it out, for the model does not tell speakers apart"
_SILENCE = "leave it out, for silence gives no text"


def _format(value: str) -> str:
    name = "text" if value == "txt" else value
    return f"use --format {name}" if name in (*SUFFIXES, ALL) else "use --format"


# Options of the commands of whisper, whisper.cpp, faster-whisper and WhisperX -> what to do here. A function gets the
# option's value.
_OTHERS: dict[str, str | Callable[[str], str]] = {
    "--output_format": _format,
    "-f": lambda value: _format(value) if value in (*SUFFIXES.values(), ALL) else _FILES,
    "--file": _FILES,
    "--audio": _FILES,
    "--output-txt": "use --format text",
    "-otxt": "use --format text",
    "--output-srt": "use --format srt",
    "-osrt": "use --format srt",
    "--output-vtt": "use --format vtt",
    "-ovtt": "use --format vtt",
    "--output-json": "use --format json",
    "-oj": "use --format json",
    "-ojf": "use --format json --tokens",
    "--output-json-full": "use --format json --tokens",
    "--output-csv": "use --format tsv",
    "-ocsv": "use --format tsv",
    "--output-file": "use -o FILE",
    "-of": "use -o FILE",
    "-m": "use --model",
    "--model_dir": "give --model the path of a model",
    "--download_root": "give --model the path of a model",
    "--language": _LANGUAGE,
    "--lang": _LANGUAGE,
    "-l": _LANGUAGE,
    "--detect-language": _LANGUAGE,
    "-dl": _LANGUAGE,
    "--task": _TRANSLATE,
    "--translate": _TRANSLATE,
    "-tr": _TRANSLATE,
    "--word_timestamps": "use --format json, which has the times of words",
    "--max-len": _LINES,
    "-ml": _LINES,
    "--max_line_width": _LINES,
    "--max_line_count": _LINES,
    "--max_words_per_line": _LINES,
    "--no-timestamps": _TIMES,
    "-nt": _TIMES,
    "--without_timestamps": _TIMES,
    "--verbose": "use --timestamps for lines with times",
    "--print-progress": _PROGRESS,
    "-pp": _PROGRESS,
    "--no-prints": _PROGRESS,
    "-np": _PROGRESS,
    "--device": _GPU,
    "--compute_type": _GPU,
    "--fp16": _GPU,
    "--no-gpu": _GPU,
    "-ng": _GPU,
    "--threads": _GPU,
    "-t": _GPU,
    "--initial_prompt": _PROMPT,
    "--prompt": _PROMPT,
    "--hotwords": _PROMPT,
    "--diarize": _SPEAKERS,
    "-di": _SPEAKERS,
    "--vad": _SILENCE,
    "--vad_filter": _SILENCE,
    "--live_transcribe": "use voxtab listen",
    "--output": "use -o FILE or --output-dir DIR",
    "--output_dir": "use --output-dir DIR",
    "--output-dir": "use --out DIR",
    "-o": "use --out DIR",
    **dict.fromkeys(
        [
            "--temperature",
            "--best_of",
            "--best-of",
            "--beam_size",
            "--beam-size",
            "-bs",
            "-bo",
            "--patience",
            "--length_penalty",
            "--suppress_tokens",
            "--condition_on_previous_text",
            "--temperature_increment_on_fallback",
            "--compression_ratio_threshold",
            "--logprob_threshold",
            "--no_speech_threshold",
            "--batch_size",
            "--batched",
            "--align_model",
            "--chunk_size",
            "--processors",
            "-p",
            "--offset-t",
            "-ot",
            "--duration",
            "-d",
            "--clip_timestamps",
            "--highlight_words",
        ],
        _DECODING,
    ),
}


def hint(arguments: list[str], options: Iterable[str]) -> str | None:
    """A sentence, without its stop, on the first of a command's arguments that is an option of another program, or a
    file that looks like one. None if there is none. `options` are the command's own: what names others is no advice."""
    options = set(options)
    for i, argument in enumerate(arguments):
        if argument == "--":
            break
        if not argument.startswith("-") or argument == "-":
            continue
        name, _, value = argument.partition("=")
        if name in options:
            continue
        if is_audio_name(argument) or os.path.isfile(argument):
            return f"{argument} looks like an option: write ./{argument}, or -- in front of it"
        if advice := _OTHERS.get(name):
            if callable(advice):
                advice = advice(value or (arguments[i + 1] if i + 1 < len(arguments) else ""))
            if options.issuperset(re.findall(r"(?<![\w-])--?\w[\w-]*", advice)):
                return f"there is no option {name}: {advice}"
    return None


def unknown(argument: str, options: Iterable[str]) -> str:
    """A sentence, without its stop, on an argument that the command does not know."""
    name = argument.partition("=")[0]
    if not name.startswith("-"):
        return f"{argument!r} is one argument too many"
    others = [option for option in options if option not in ("-h", "--help")]
    alike = difflib.get_close_matches(name.replace("_", "-"), others, 1, cutoff=0.7)
    return f"there is no option {name}" + (f": use {alike[0]} if you mean that" if alike else "")


def no_command(first: str, commands: Iterable[str]) -> str:
    """A sentence, without its stop, on a first argument that is not a command."""
    if first.startswith("-"):
        return f"{first} comes before any command: begin with one, for example voxtab transcribe"
    if is_audio_name(first) or is_address(first) or os.path.exists(first):
        return f"{first} is not a command: use voxtab transcribe {first}"
    alike = difflib.get_close_matches(first, commands, 1)
    return f"{first} is not a command: use " + (f"{alike[0]} if you mean that" if alike else ", ".join(commands))


def is_audio_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES
