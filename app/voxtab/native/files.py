"""A model's files on disk: which ones a user's path stands for, and how they are read as one run of bytes."""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from stat import S_ISDIR

from voxtab.errors import ModelError
from voxtab.weights import gguf, safetensors
from voxtab.weights.directory import Directory, HeaderIncomplete
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
_NOT_SHARD_NAMES = {"LICENSE", "LICENCE", "NOTICE", "README", "SHA256SUMS", "MD5SUMS"}


class FileSource:
    """One run of bytes over one file, or over raw shards in the order given.

    Nothing stays open between reads. Each read checks that its shard is what it was when the source was made;
    if it is not, or cannot be read, that is a ModelError. Files are not mapped into memory: where a mapped file is cut
    short, reading it ends the process. Any number of threads may read.
    """

    def __init__(self, paths: list[Path]):
        self._paths = [Path(path) for path in paths]
        self._stamps = [_stamp(path) for path in self._paths]
        self._ends = list(accumulate(size for size, _ in self._stamps))
        self.size: int = self._ends[-1]  # bytes
        self.label = str(self._paths[0] if len(paths) == 1 else self._paths[0].parent)  # for messages

    def identity(self) -> list[tuple[str, int, int, int]]:
        """Path, bytes, time of the last change and inode of each shard: what a file is, unless somebody deceives us."""
        return [(str(path), *stamp, path.stat().st_ino) for path, stamp in zip(self._paths, self._stamps, strict=True)]

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
        path = self._paths[index]
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
    config_path: Path | None  # config.json, with 'safetensors' only
    tokenizer_path: Path | None  # tekken.json, if there is one


def find_model(path: str | Path) -> ModelFiles:
    """The model that `path` stands for. ModelError says in one sentence why there is none.

    - a file `*.gguf`, or a file `*.safetensors` with config.json next to it;
    - a folder with one `*.gguf`; else with model.safetensors and config.json; else with raw shards of a GGUF file.

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
        return _model_files("gguf", [path])
    if path.suffix == ".safetensors":
        return _model_files("safetensors", [path])
    raise ModelError(f"{path} is not a .gguf file: give one, or the folder that holds all its shards.")


def read_directory(source: FileSource, kind: str) -> Directory:
    """Read and parse the header of a 'gguf' or 'safetensors' source. ModelError if it has no good one."""
    parse = {"gguf": gguf.parse, "safetensors": safetensors.parse}[kind]
    nbytes = _FIRST_READ
    while True:
        nbytes = min(nbytes, source.size)
        try:
            return parse(source.read(0, nbytes), source.size)
        except HeaderIncomplete as error:
            nbytes = max(2 * nbytes, error.needed)
        except ModelError as error:
            raise ModelError(f"{source.label}: {error}") from None


def _find_in_folder(folder: Path) -> ModelFiles:
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    except OSError as error:
        raise _unreadable(folder, error) from None
    whole = [file for file in files if file.suffix == ".gguf"]
    if len(whole) > 1:
        raise ModelError(f"{folder} holds {len(whole)} .gguf files: give the path of one, such as {whole[0]}.")
    if whole:
        return _model_files("gguf", whole)
    if folder / "model.safetensors" in files:
        return _model_files("safetensors", [folder / "model.safetensors"])

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


def _model_files(kind: str, paths: list[Path]) -> ModelFiles:
    folder = paths[0].parent
    config = folder / "config.json" if kind == "safetensors" else None
    if config and not config.is_file():
        raise ModelError(f"{folder} holds no config.json: put the one that belongs to {paths[0].name} beside it.")
    tokenizers = [place / "tekken.json" for place in (folder, folder.parent)]
    return ModelFiles(kind, FileSource(paths), config, next(filter(Path.is_file, tokenizers), None))


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
