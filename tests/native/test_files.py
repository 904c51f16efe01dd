import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtab.errors import ModelError
from voxtab.native import files as files_module
from voxtab.native import models
from voxtab.native.files import FileSource, find_model, read_directory
from voxtab.weights import gguf
from voxtab.weights.shard_names import in_order
from weights import gguf_bytes as g

ORACLE = Path(__file__).parents[1] / "oracle/delay480"
MODEL = g.with_data(g.small_header(), np.random.default_rng(0).bytes(g.SMALL_DATA))


def write(folder, files: dict[str, bytes]):
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(set(cuts)), len(data)]
    return [data[a:b] for a, b in zip(bounds, bounds[1:])]


def write_shards(folder, cuts: list[int]):
    names = ["shard-a" + letter for letter in "abcdefghij"]
    return write(folder, dict(zip(names, cut(MODEL, cuts))))


def refused(path) -> str:
    with pytest.raises(ModelError) as caught:
        find_model(path)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
    return str(caught.value)


# --- one run of bytes


@settings(deadline=None, max_examples=60)
@given(data=st.data(), cuts=st.lists(st.integers(1, len(MODEL) - 1), max_size=9))
def test_shards_read_as_the_whole_file(tmp_path_factory, data, cuts):
    files = find_model(write_shards(tmp_path_factory.mktemp("shards"), cuts))
    assert (files.kind, files.source.size) == ("gguf", len(MODEL))
    assert files.source.read(0, len(MODEL)) == MODEL
    assert read_directory(files) == gguf.parse(MODEL, len(MODEL))
    begin = data.draw(st.integers(0, len(MODEL)))
    end = data.draw(st.integers(begin, len(MODEL)))
    into = bytearray(b"\xaa" * (end - begin + 2))
    files.source.read_into(begin, memoryview(into)[1:-1])
    assert into == b"\xaa" + MODEL[begin:end] + b"\xaa"


def test_reads_at_every_cut(tmp_path):
    write(tmp_path, {"a": b"01", "b": b"2", "c": b"345"})
    shards = FileSource([tmp_path / name for name in "abc"])
    for begin in range(7):
        for end in range(begin, 7):
            assert shards.read(begin, end - begin) == b"012345"[begin:end]


def test_reads_into_arrays_of_any_type(tmp_path):
    values = np.arange(10, dtype=np.float32)
    into = np.zeros(4, np.float32)
    file = FileSource([write(tmp_path, {"a": values.tobytes()}) / "a"])
    file.read_into(8, memoryview(into))
    np.testing.assert_array_equal(into, values[2:6])
    with pytest.raises(ValueError, match="bytes 28 to 44"):
        file.read_into(28, memoryview(into))


@pytest.mark.parametrize("offset, nbytes", [(-1, 1), (0, 7), (6, 1), (7, 0), (2**62, 1)])
def test_outside_the_source_is_a_bug(tmp_path, offset, nbytes):
    whole = FileSource([write(tmp_path, {"a": b"012345"}) / "a"])
    with pytest.raises(ValueError, match="source of 6"):
        whole.read(offset, nbytes)


def test_a_shard_that_vanished_shrank_or_changed(tmp_path):
    shards = find_model(write_shards(tmp_path / "m", [100, 200])).source
    second = tmp_path / "m" / "shard-ab"
    good, stamp = second.read_bytes(), second.stat()

    def problem() -> str:
        assert shards.read(0, 100) == MODEL[:100]  # the first shard is still good
        with pytest.raises(ModelError) as caught:
            shards.read(90, 20)
        return str(caught.value)

    second.unlink()
    assert "shard-ab cannot be read" in problem()
    second.write_bytes(good[:-1])
    os.utime(second, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert "shard-ab has changed" in problem()
    second.write_bytes(good)
    os.utime(second, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 10**9))
    assert "shard-ab has changed" in problem()
    os.utime(second, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert shards.read(90, 20) == MODEL[90:110]


def test_a_shard_that_changes_while_it_is_read(tmp_path, monkeypatch):
    path = write(tmp_path, {"a": b"012345"}) / "a"
    file, opened = FileSource([path]), open

    def changing(*arguments, **named):
        path.write_bytes(b"abc")
        return opened(*arguments, **named)

    monkeypatch.setattr("builtins.open", changing)
    with pytest.raises(ModelError, match="a has changed since it was opened"):
        file.read(0, 2)


def test_a_model_that_is_cut_short_while_it_loads(tmp_path, run, device):
    """One sentence; a mapped file would end the process."""
    path = tmp_path / "model.gguf"
    shutil.copy(ORACLE / "tiny-q4.gguf", path)
    shutil.copy(ORACLE / "tekken.json", tmp_path)
    local = models.read_model(path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(ModelError, match="model.gguf has changed since it was opened: start again"):
        run(local.load(device))


# --- the directory


def test_a_long_header_is_read_in_growing_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(files_module, "_FIRST_READ", 100)
    files = find_model(write(tmp_path, {"a.gguf": MODEL}) / "a.gguf")
    pieces = []
    monkeypatch.setattr(
        files.source, "read", lambda offset, nbytes: pieces.append(nbytes) or MODEL[offset : offset + nbytes]
    )
    assert read_directory(files) == gguf.parse(MODEL, len(MODEL))
    assert pieces[0] == 100 and pieces[1] > 200  # the counts already tell that 200 are too few
    assert all(after >= min(2 * before, len(MODEL)) for before, after in zip(pieces, pieces[1:]))


def test_errors_name_the_file(tmp_path):
    path = write(tmp_path, {"a.gguf": MODEL[:100]}) / "a.gguf"
    with pytest.raises(ModelError, match="a.gguf: The GGUF header is damaged or cut short"):
        read_directory(find_model(path))
    (tmp_path / "b.gguf").write_bytes((ORACLE / "tiny-q4.gguf").read_bytes()[:-1])
    with pytest.raises(ModelError, match="b.gguf: Tensor .* ends at byte .* shard is missing"):
        models.read_model(tmp_path / "b.gguf")


def test_last_shard_missing(tmp_path):
    folder = write_shards(tmp_path / "m", [400, len(MODEL) - 10])
    (folder / "shard-ac").unlink()
    with pytest.raises(ModelError, match="Tensor 'norm.weight' .* a shard is missing or short"):
        read_directory(find_model(folder)).tensor("norm.weight")


# --- what a path stands for


def test_a_gguf_file(tmp_path):
    folder = write(tmp_path / "m", {"a.gguf": MODEL, "b.gguf": MODEL})
    files = find_model(str(folder / "a.gguf"))
    assert (files.kind, files.config_path, files.tokenizer_path) == ("gguf", None, None)
    assert files.source.label == str(folder / "a.gguf") and files.source.size == len(MODEL)


def test_a_folder_with_one_gguf_file(tmp_path):
    folder = write(tmp_path, {"a.gguf": MODEL, "shard-aa": b"x", "model.safetensors": b"x", "config.json": b"{}"})
    assert find_model(folder).source.label == str(folder / "a.gguf")


def test_a_folder_with_two(tmp_path):
    assert "2 .gguf files" in refused(write(tmp_path, {"a.gguf": MODEL, "b.gguf": MODEL}))


def test_safetensors(tmp_path):
    folder = write(tmp_path, {"model.safetensors": b"12345678", "config.json": b"{}", "other": b"x"})
    for path in (folder, folder / "model.safetensors"):
        files = find_model(path)
        assert (files.kind, files.config_path) == ("safetensors", folder / "config.json")
        assert files.source.label == str(folder / "model.safetensors")
    (folder / "config.json").unlink()
    assert "config.json" in refused(folder)


def test_shards_among_other_files(tmp_path):
    folder = write_shards(tmp_path / "m", [50, 60])
    strays = ["config.json", "README.md", "LICENSE", ".gitattributes", "tekken.json", "a.TXT"]
    write(folder, dict.fromkeys(strays, b"x"))
    (folder / "empty").mkdir()
    files = find_model(folder)
    assert files.source.read(0, files.source.size) == MODEL
    assert files.source.label == str(folder)


def test_the_tokenizer_is_beside_or_one_above(tmp_path):
    folder = write(tmp_path / "m", {"a.gguf": MODEL})
    above, beside = tmp_path / "tekken.json", folder / "tekken.json"
    for place in (above, beside):  # the nearer wins
        place.write_text("{}")
        assert find_model(folder).tokenizer_path == find_model(folder / "a.gguf").tokenizer_path == place


def test_a_path_in_the_working_directory(tmp_path, monkeypatch):
    folder = write(tmp_path / "m", {"a.gguf": MODEL})
    (tmp_path / "tekken.json").write_text("{}")
    monkeypatch.chdir(folder)
    for path in ("a.gguf", "."):
        assert find_model(path).tokenizer_path == tmp_path / "tekken.json"


def test_a_link_keeps_its_name_and_neighbours(tmp_path):
    blob = write(tmp_path / "blobs", {"abc123": MODEL}) / "abc123"
    folder = write(tmp_path / "m", {"tekken.json": b"{}"})
    (folder / "a.gguf").symlink_to(blob)
    assert find_model(folder / "a.gguf").tokenizer_path == folder / "tekken.json"
    assert find_model(folder).source.read(0, 4) == b"GGUF"


def test_no_model(tmp_path):
    assert "nowhere cannot be read (No such file" in refused(tmp_path / "nowhere")
    assert "cannot be read" in refused(tmp_path / ("x" * 300))
    assert "holds no model" in refused(write(tmp_path / "empty", {}))
    assert "holds no model" in refused(write(tmp_path / "notes", {"README.md": b"x", "tekken.json": b"{}"}))
    assert "does not begin with GGUF" in refused(write(tmp_path / "other", {"holiday.raw": b"1234"}))
    assert "is not a .gguf file" in refused(write(tmp_path / "shards", {"shard-aa": MODEL}) / "shard-aa")
    assert "a.gguf is empty" in refused(write(tmp_path / "void", {"a.gguf": b""}))


def test_shards_missing_or_empty(tmp_path):
    folder = write_shards(tmp_path / "m", [50, 60, 70])
    (folder / "shard-ac").write_bytes(b"")
    assert "shard-ac is empty" in refused(folder)
    (folder / "shard-ac").unlink()
    assert "shard-ac is missing" in refused(folder)
    (folder / "shard-ad").unlink()
    (folder / "shard-aa").unlink()
    assert "download the first shard" in refused(folder)


def test_a_stray_file_among_shards(tmp_path):
    folder = write_shards(tmp_path / "m", [50, 60])
    write(folder, {"shard-ac.crdownload": b"x"})
    assert "shard-ac.crdownload" in refused(folder)


@pytest.mark.parametrize(
    "names",
    [
        ["model"],
        ["shard-aa", "shard-ab", "shard-ac"],
        ["xaa", "xab"],
        ["p-ay", "p-az", "p-ba", "p-bb"],
        ["p8", "p9", "p10", "p11"],
        ["p008", "p009", "p010"],
        ["p099.bin", "p100.bin"],
        ["q4.gguf.000", "q4.gguf.001"],
        ["q4-00001-of-00003.bin", "q4-00002-of-00003.bin", "q4-00003-of-00003.bin"],
        ["1", "2", "3"],
    ],
)
def test_order(names):
    assert in_order(sorted(names)) == names


@pytest.mark.parametrize(
    "names, missing",
    [
        (["shard-aa", "shard-ab", "shard-ad"], "shard-ac"),
        (["p-az", "p-bb"], "p-ba"),
        (["ba", "ca"], "bb"),
        (["azz", "bab"], "baa"),
        (["p9", "p11"], "p10"),
        (["p10", "p20"], "p11"),
        (["p009.bin", "p011.bin"], "p010.bin"),
        (["q4-00001-of-00003.bin", "q4-00003-of-00003.bin"], "q4-00002-of-00003.bin"),
    ],
)
def test_missing_shards_are_named(names, missing):
    with pytest.raises(ModelError, match=f"shard {missing} is missing"):
        in_order(names)


@pytest.mark.parametrize(
    "names", [["a", "a1"], ["a-1", "b-x"], ["LICENCES", "shard-aa", "shard-ab"], ["p1", "pa"], ["a", "bc"]]
)
def test_names_without_a_counter(names):
    with pytest.raises(ModelError, match=f"{names[0]} and {names[-1]} are not numbered"):
        in_order(names)
