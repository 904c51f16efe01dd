"""Which audio the arguments name, and where the results go."""

from pathlib import Path, PurePath

import pytest

from voxtab.errors import UserError
from voxtab.native.cli.inputs import Input, find_inputs
from voxtab.native.cli.outputs import folder_places


@pytest.fixture
def talks(tmp_path):
    for name in ("b.MP3", "a.wav", "notes.txt", ".hidden.wav", "deep/c.flac", "deep/er/d.ogg", ".git/e.wav"):
        (tmp_path / "talks" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "talks" / name).write_bytes(b"")
    return tmp_path / "talks"


def found(*names, recursive=False):
    complaints = []
    inputs = find_inputs([*map(str, names)], recursive, complaints.append)
    return inputs, complaints


def test_a_folder(talks):
    inputs, complaints = found(talks)
    assert [each.place for each in inputs] == [PurePath("a.wav"), PurePath("b.MP3")] and not complaints
    assert [each.source for each in inputs] == [str(talks / "a.wav"), str(talks / "b.MP3")]
    inputs, _ = found(talks, recursive=True)
    assert [str(each.place) for each in inputs] == ["a.wav", "b.MP3", "deep/c.flac", "deep/er/d.ogg"]


def test_a_folder_without_audio(talks):
    (talks / "more").mkdir()
    for folder, advice in ((talks / "more", "name audio files"), (talks.parent, "use --recursive")):
        inputs, (complaint,) = found(folder)
        assert not inputs and str(folder) in complaint and advice in complaint


def test_files_addresses_and_stdin_in_their_order(talks):
    address = "https://example.org/talks/Day%20one.mp3?key=1"
    inputs, complaints = found("-", talks / "notes.txt", address, "/nowhere.wav", "http://example.org", "two\0")
    assert [(each.source, str(each.place)) for each in inputs] == [
        ("-", "stdin"),
        (str(talks / "notes.txt"), "notes.txt"),
        (address, "Day one.mp3"),
        ("http://example.org", "example.org"),
    ]
    assert len(complaints) == 2 and "/nowhere.wav does not exist" in complaints[0] and "two\\x00" in complaints[1]


@pytest.mark.parametrize("path", ["..", "%2e%2e", "a%2f..%2f..%2fb", "%00", "a%5cb", "/"])
def test_no_address_names_a_place_elsewhere(path):
    (each,), _ = found(f"http://example.org/{path}")
    assert len(each.place.parts) == 1 and each.place.name not in ("", "..") and each.place.name.isprintable()


def places(*sources):
    inputs = [Input(source, PurePath(source)) for source in sources]
    return [path.as_posix() for path in folder_places(inputs, Path("out")).values()]


def test_where_results_go():
    assert places("talk.mp3", "deep/talk.mp3", "v1.5", "a.b.wav") == [
        "out/talk",
        "out/deep/talk",
        "out/v1.5",
        "out/a.b",
    ]


def test_results_of_the_same_name():
    """They keep the audio's suffix; also where a file system would take upper and lower case for the same."""
    assert places("a.wav", "A.mp3", "b.wav") == ["out/a.wav", "out/A.mp3", "out/b"]
    with pytest.raises(UserError, match=r"The results of x/a.wav and y/a.wav would have the same name"):
        folder_places([Input("x/a.wav", PurePath("a.wav")), Input("y/a.wav", PurePath("a.wav"))], Path("out"))
