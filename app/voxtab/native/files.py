"""A model's files on disk: which ones a user's path stands for, and how they are read as one run of bytes."""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from stat import S_ISDIR

from voxtab.errors import ModelError
from voxtab.weights import gguf, layouts, safetensors
from voxtab.weights.directory import Directory, HeaderIncomplete, joined

_FIRST_READ = 1 << 20  # bytes: the header of a file without a tokenizer is a tenth of it


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
    if path.name.endswith(layouts.INDEX):
        return _model_files("safetensors", _in_index(path))
    raise ModelError(f"{path} is not a .gguf file: give one, or the folder that holds all its shards.")


def with_mmproj(files: ModelFiles) -> ModelFiles:
    """llama.cpp's text model and, beside it, the file with the audio encoder. ModelError unless there is just one."""
    folder = files.source.paths[0].parent
    other = layouts.mmproj_among([path.name for path in folder.glob("*.gguf")], files.source.label, str(folder))
    return _model_files("gguf", [*files.source.paths, folder / other])


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
    names = [file.name for file in files]
    whole = layouts.models_among(names)
    if len(whole) > 1:
        raise ModelError(f"{folder} holds {len(whole)} .gguf files: give the path of one, such as {folder / whole[0]}.")
    if whole:
        return find_model(folder / whole[0])
    shards = [folder / name for name in layouts.raw_shards(names)]
    if not shards:
        raise ModelError(f"{folder} holds no model: give a .gguf file or the folder of a model.")
    found = _model_files("gguf", shards)
    if found.source.read(0, min(4, found.source.size)) != b"GGUF":
        raise ModelError(
            f"{folder} holds no model, as its first file {shards[0].name} does not begin with GGUF: "
            f"download the first shard, or give the folder of a model."
        )
    return found


def _with_other_parts(path: Path) -> list[Path]:
    """A .gguf file; with one that gguf-split made, all the parts, in their order."""
    paths = [path.with_name(name) for name in layouts.parts_of(path.name)]
    for other in paths:
        if len(paths) > 1 and not other.is_file():
            raise ModelError(f"{other} is missing, one of the {len(paths)} parts of a model: download it to there.")
    return paths


def _in_index(index: Path) -> list[Path]:
    """The shards that a model.safetensors.index.json lists, in their order."""
    try:
        text = index.read_text(encoding="utf-8")
    except OSError as error:
        raise _unreadable(index, error) from None
    except UnicodeDecodeError:
        text = ""
    names = layouts.listed(text, str(index))
    for name in names:
        if not index.with_name(name).is_file():
            raise ModelError(f"The shard {index.with_name(name)} is missing: download it to where the others are.")
    return [index.with_name(name) for name in names]


def _model_files(kind: str, paths: list[Path]) -> ModelFiles:
    folder, config = paths[0].parent, None
    if name := layouts.config_of(paths[0].name):
        config = folder / name
        if not config.is_file():
            raise ModelError(f"{folder} holds no {name}: put the one that belongs to {paths[0].name} beside it.")
    tokenizers = [place / layouts.TOKENIZER for place in (folder, folder.parent)]
    source = FileSource(paths)
    return ModelFiles(
        kind,
        source,
        tuple(source.starts) if layouts.have_headers([path.name for path in paths]) else (0,),
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
