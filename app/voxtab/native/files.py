"""A model's files on disk: which ones a user's path stands for, and how they are read as one run of bytes."""

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from stat import S_ISDIR

from voxtab.errors import ModelError
from voxtab.weights import gguf, safetensors
from voxtab.weights.directory import Directory, HeaderIncomplete, joined
from voxtab.weights.shard_names import in_order

_FIRST_READ = 1 << 20  # bytes: the header of a file without a tokenizer is a tenth of it

# Files that may be in the folder of the shards.
# fmt: off
_NOT_SHARDS = {
    ".json", ".jsonl", ".jinja", ".txt", ".md", ".html", ".pdf", ".py", ".yaml", ".yml", ".toml", ".csv", ".log",
    ".sha256", ".md5", ".png", ".jpg", ".svg", ".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".npy", ".npz",
    ".safetensors", ".gguf",
}
# fmt: on
_INDEX = ".safetensors.index.json"
_MMPROJ = "mmproj"  # in the name of llama.cpp's file with the audio encoder
_PART = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")  # as gguf-split names them
MOST_PARTS = 1000
_NOT_SHARD_NAMES = {"LICENSE", "LICENCE", "NOTICE", "README", "SHA256SUMS", "MD5SUMS"}


class FileSource:
    """One run of bytes over one file, or over raw shards in the order given.

    Nothing stays open between reads. Each read checks that its shard is what it was when the source was made;
    if it is not, or cannot be read, that is a ModelError. Files are not mapped into memory: where a mapped file is cut
    short, reading it ends the process. Any number of threads may read.
    """

    def __init__(self, paths: list[Path]):
        self.paths = [Path(path) for path in paths]
        self._stamps = [_stamp(path) for path in self.paths]
        self._ends = list(accumulate(size for size, _ in self._stamps))
        self.starts = [0, *self._ends[:-1]]  # of each file, in bytes
        self.size: int = self._ends[-1]  # bytes
        self.label = str(self.paths[0] if len(paths) == 1 else self.paths[0].parent)  # for messages

    def identity(self) -> list[tuple[str, int, int, int]]:
        """Path, bytes, time of the last change and inode of each shard: what a file is, unless somebody deceives us."""
        return [(str(path), *stamp, path.stat().st_ino) for path, stamp in zip(self.paths, self._stamps, strict=True)]

    def read(self, offset: int, nbytes: int) -> bytes:
        data = bytearray(nbytes)
        self.read_into(offset, memoryview(data))
        return bytes(data)

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill `view` with the bytes from `offset` on, across any cuts. Outside the source: ValueError."""
        view = view.cast("B")
        if not 0 <= offset <= offset + len(view) <= self.size:
            raise ValueError(f"bytes {offset} to {offset + len(view)} of a source of {self.size}")
        index = bisect_right(self._ends, offset)
        while view:
            within = offset - (self._ends[index] - self._stamps[index][0])
            within_shard = view[: self._ends[index] - offset]
            self._read_shard(index, within, within_shard)
            view = view[len(within_shard) :]
            offset += len(within_shard)
            index += 1

    def _read_shard(self, index: int, offset: int, view: memoryview) -> None:
        path = self.paths[index]
        try:
            with open(path, "rb", buffering=0) as file:
                file.seek(offset)
                while view and (count := file.readinto(view)):
                    view = view[count:]
            # Looked at afterwards, so that a change while the bytes were read shows too.
            if view or _stamp(path) != self._stamps[index]:
                raise ModelError(f"{path} has changed since it was opened: start again when it is complete.")
        except OSError as error:
            raise _unreadable(path, error) from None


@dataclass(frozen=True)
class ModelFiles:
    """What `find_model` found."""

    kind: str  # 'gguf' or 'safetensors'
    source: FileSource
    starts: tuple[int, ...]  # bytes of the source at which a file with a header of its own begins
    config_path: Path | None  # config.json or params.json, with 'safetensors' only
    tokenizer_path: Path | None  # tekken.json, if there is one


def find_model(path: str | Path) -> ModelFiles:
    """The model that `path` stands for. ModelError says in one sentence why there is none.

    - a file `*.gguf`; of the parts that gguf-split made, any one, or of llama.cpp's two files, the text model;
    - a file `*.safetensors` with config.json next to it (or params.json, as Mistral has it); of the shards that
      `*.safetensors.index.json` lists, that file;
    - a folder with one of these. If it has a model in two layouts, the first of these counts: a .gguf file,
      model.safetensors, its shards, consolidated.safetensors;
    - else a folder with raw shards of a GGUF file.

    Raw shards are a file's bytes cut anywhere (`split -b 512m`), without headers of their own: all files of the
    folder except hidden ones and those whose names say that they are something else (.json, .txt, .md, LICENSE, ...).
    Their names are equal except for a counter of letters (aa, ab, ...) or digits, which orders them and must not
    leave one out; the first begins with `GGUF`. Only the directory can tell whether some are missing at the end.

    tekken.json is looked for in the folder of the model's bytes, then in that folder's parent.
    """
    path = Path(path).absolute()  # not resolved: a link to a nameless blob keeps its name and its neighbours
    try:
        is_folder = S_ISDIR(path.stat().st_mode)
    except OSError as error:
        raise _unreadable(path, error) from None
    if is_folder:
        return _find_in_folder(path)
    if path.suffix == ".gguf":
        return _model_files("gguf", _with_other_parts(path))
    if path.suffix == ".safetensors":
        return _model_files("safetensors", [path])
    if path.name.endswith(_INDEX):
        return _model_files("safetensors", _in_index(path))
    raise ModelError(f"{path} is not a .gguf file: give one, or the folder that holds all its shards.")


def with_mmproj(files: ModelFiles) -> ModelFiles:
    """llama.cpp's text model and, beside it, the file with the audio encoder. ModelError unless there is just one."""
    folder = files.source.paths[0].parent
    others = [path for path in folder.glob("*.gguf") if _MMPROJ in path.name.lower()]
    if len(others) != 1:
        raise ModelError(
            f"{files.source.label} is the half of a model that llama.cpp has in two files, and {folder} holds "
            f"{len(others) or 'no'} .gguf file{'s'[: len(others) != 1]} with {_MMPROJ} in the name: put the one with "
            "this model's audio encoder there."
        )
    return _model_files("gguf", [*files.source.paths, others[0]])


def read_directory(files: ModelFiles) -> Directory:
    """Read and parse the headers of what `find_model` found. ModelError if one is not good."""
    source, ends = files.source, (*files.starts[1:], files.source.size)
    directories = []
    for start, end in zip(files.starts, ends):
        try:
            directories.append((start, _read_header(source, files.kind, start, end - start)))
        except ModelError as error:
            raise ModelError(f"{source.label}: {error}") from None
    try:
        return joined(directories)
    except ModelError as error:
        raise ModelError(f"{source.label}: {error}") from None


def _read_header(source: FileSource, kind: str, start: int, size: int) -> Directory:
    parse = {"gguf": gguf.parse, "safetensors": safetensors.parse}[kind]
    nbytes = _FIRST_READ
    while True:
        nbytes = min(nbytes, size)
        try:
            return parse(source.read(start, nbytes), size)
        except HeaderIncomplete as error:
            nbytes = max(2 * nbytes, error.needed)


def _find_in_folder(folder: Path) -> ModelFiles:
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    except OSError as error:
        raise _unreadable(folder, error) from None
    whole = [file for file in files if file.suffix == ".gguf"]
    if len(whole) > 1:  # those of llama.cpp's text model are found with it
        whole = [file for file in whole if _MMPROJ not in file.name.lower()] or whole
    if len(whole) > 1 and set(whole) != set(_with_other_parts(whole[0])):
        raise ModelError(f"{folder} holds {len(whole)} .gguf files: give the path of one, such as {whole[0]}.")
    if whole:
        return _model_files("gguf", _with_other_parts(whole[0]))
    indexes = [file for file in files if file.name.endswith(_INDEX)]
    for single in ("model.safetensors", "consolidated.safetensors"):
        if folder / single in files:
            return _model_files("safetensors", [folder / single])
        if indexes:
            return _model_files("safetensors", _in_index(indexes[-1]))  # model before consolidated

    shards = [file for file in files if file.suffix.lower() not in _NOT_SHARDS and file.stem not in _NOT_SHARD_NAMES]
    if not shards:
        raise ModelError(f"{folder} holds no model: give a .gguf file or the folder of a model.")
    shards = [folder / name for name in in_order([file.name for file in shards])]
    found = _model_files("gguf", shards)
    if found.source.read(0, min(4, found.source.size)) != b"GGUF":
        raise ModelError(
            f"{folder} holds no model, as its first file {shards[0].name} does not begin with GGUF: "
            f"download the first shard, or give the folder of a model."
        )
    return found


def _with_other_parts(path: Path) -> list[Path]:
    """A .gguf file; with one that gguf-split made, all the parts, in their order."""
    part = _PART.fullmatch(path.name)
    if not part:
        return [path]
    name, digits = part["name"], part["count"]
    if not 1 <= int(part["number"]) <= int(digits) <= MOST_PARTS:
        return [path]
    paths = [path.with_name(f"{name}-{i:05}-of-{digits}.gguf") for i in range(1, int(digits) + 1)]
    for other in paths:
        if not other.is_file():
            raise ModelError(f"{other} is missing, one of the {int(digits)} parts of a model: download it to there.")
    return paths


def _in_index(index: Path) -> list[Path]:
    """The shards that a model.safetensors.index.json lists, in their order."""
    try:
        names = sorted({*json.loads(index.read_bytes())["weight_map"].values()})
        assert names and all(type(name) is str and Path(name).name == name for name in names)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError):
        raise ModelError(f"{index} does not list a model's shards: download it again.") from None
    for name in names:
        if not index.with_name(name).is_file():
            raise ModelError(f"The shard {index.with_name(name)} is missing: download it to where the others are.")
    return [index.with_name(name) for name in names]


def _model_files(kind: str, paths: list[Path]) -> ModelFiles:
    folder = paths[0].parent
    config = None
    if kind == "safetensors":
        # Both may be there, as on the hub. Each belongs to the file with its maker's names.
        config = folder / ("params.json" if paths[0].name.startswith("consolidated") else "config.json")
        if not config.is_file():
            raise ModelError(f"{folder} holds no {config.name}: put the one that belongs to {paths[0].name} beside it.")
    tokenizers = [place / "tekken.json" for place in (folder, folder.parent)]
    source = FileSource(paths)
    have_headers = kind == "safetensors" or paths[0].suffix == ".gguf"
    return ModelFiles(
        kind,
        source,
        tuple(source.starts) if have_headers else (0,),
        config,
        next(filter(Path.is_file, tokenizers), None),
    )


def _stamp(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change: when they differ, so does the file."""
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    if not status.st_size:
        raise ModelError(f"{path} is empty: download it again.")
    return status.st_size, status.st_mtime_ns


def _unreadable(path: Path, error: OSError) -> ModelError:
    return ModelError(f"{path} cannot be read ({error.strerror}): see that it is there and that you may read it.")
