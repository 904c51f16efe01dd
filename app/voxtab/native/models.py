"""Models in local files, on the native GPU."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from voxtab import resources
from voxtab.config import ModelConfig
from voxtab.errors import ModelError, TokenizerError
from voxtab.gpu.device import Device
from voxtab.gpu.variants import Variants
from voxtab.model import Model
from voxtab.native import known_variants, known_vocabularies
from voxtab.native.files import FileSource, find_model, read_directory, with_mmproj
from voxtab.native.gpu import webgpu
from voxtab.native.gpu.device import NativeDevice
from voxtab.native.hub.names import hub_name
from voxtab.native.threads import in_thread
from voxtab.tokenizer import Tokenizer
from voxtab.weights import checkpoint, dialects, layouts, vocabulary
from voxtab.weights.directory import Directory

Progress = Callable[[int], None] | None  # called with the bytes so far


@dataclass(frozen=True)
class LocalModel:
    """A model's files, read and checked as far as that goes without a GPU."""

    name: str
    source: FileSource
    directory: Directory
    config: ModelConfig
    tokenizer: Tokenizer
    tokenizer_path: Path  # a tekken.json, or the model's file that has the vocabulary in it

    async def load(
        self, device: Device, *, cache_f16: bool = True, variants: Variants | None = None, progress: Progress = None
    ) -> Model:
        """Bring the weights to a device that is open (`Model.load`)."""
        return await Model.load(
            device,
            self.directory,
            self.config,
            self.source,
            self.tokenizer,
            name=self.name,
            cache_f16=cache_f16,
            variants=variants,
            progress=progress,
        )


def read_model(path: str | Path | None = None, tokenizer: str | Path | None = None) -> LocalModel:
    """Read what can be read without a GPU.

    `path` is what `files.find_model` takes, or OWNER/REPO[@REVISION][:FILE], a model on Hugging Face's hub, which is
    downloaded unless it is in its cache; None means the embedded model. `tokenizer` is a tekken.json; None means the
    vocabulary in the model's file or, if it has none, the tekken.json in the model's folder or in that folder's parent.
    Raises ModelError or TokenizerError, one sentence each.
    """
    files = find_model(resources.embedded_model() if path is None else _on_this_machine(path))
    directory = read_directory(files)
    if dialects.is_text_half(directory):
        files = with_mmproj(files)
        directory = read_directory(files)
    try:
        directory = dialects.translated(directory, _json(files.config_path) if files.config_path else None)
        config = checkpoint.read_config(directory)
    except ModelError as error:
        raise ModelError(f"{files.source.label}: {error}") from None
    inside = vocabulary.place(directory) if tokenizer is None else None
    tokenizer_path = files.tokenizer_path if tokenizer is None else Path(tokenizer)
    if inside:
        tokenizer_path = files.source.paths[0]
        raw = files.source.read(inside.offset, inside.nbytes)
        read = vocabulary.read(directory, raw, config.vocabulary)
    elif tokenizer_path:
        read = known_vocabularies.read(tokenizer_path, config.vocabulary)
    else:
        raise TokenizerError(
            f"There is no tekken.json beside {files.source.label}, in it or above it: "
            "download the model's and put it there, or name it with --tokenizer."
        )
    name = resources.EMBEDDED_MODEL_NAME if path is None else str(path)
    return LocalModel(name, files.source, directory, config, read, tokenizer_path)


async def open_model(
    path: str | Path | None = None,
    tokenizer: str | Path | None = None,
    *,
    cache: str = "f16",
    default_limits: bool = False,
    gpu: int = 0,
    progress: Progress = None,
) -> Model:
    """Read a model (as `read_model` does), open the GPU and bring the weights there.

    `cache` is the type of cached keys and values, "f16" or "f32". `gpu` is one of this machine's, the strongest is 0.
    `progress` gets the bytes so far. All this happens in other threads: the event loop goes on.
    Raises UserError for what the user can fix: no GPU, broken files.
    """
    # The graphics driver is loaded meanwhile.
    local, _ = await asyncio.gather(asyncio.to_thread(read_model, path, tokenizer), asyncio.to_thread(webgpu.adapters))
    return await load_model(local, cache=cache, default_limits=default_limits, gpu=gpu, progress=progress)


async def load_model(
    local: LocalModel,
    *,
    cache: str = "f16",
    default_limits: bool = False,
    gpu: int = 0,
    variants: str | None = None,
    progress: Progress = None,
) -> Model:
    """As `open_model`. `variants` pins some of the kernels': see `Variants.pinned`."""
    if cache not in ("f16", "f32"):
        raise ValueError(f"cache is {cache!r}: use 'f16' or 'f32'")
    loop = asyncio.get_running_loop()

    def report(nbytes: int) -> None:
        if progress:
            loop.call_soon_threadsafe(progress, nbytes)

    return await in_thread(_load(local, cache == "f16", default_limits, gpu, variants, report))


async def _load(
    local: LocalModel, cache_f16: bool, default_limits: bool, gpu: int, pins: str | None, progress: Progress
) -> Model:
    device = await NativeDevice.open(default_limits, gpu)
    try:
        case = known_variants.case(device.adapter, local.source)
        variants = Variants.pinned(device.adapter, pins) if pins else known_variants.find(case, device.adapter)
        model = await local.load(device, cache_f16=cache_f16, variants=variants, progress=progress)
        if model.tuned:
            known_variants.remember(case, model.kernels.variants.found)
        return model
    except BaseException:
        device.close()
        raise


def _on_this_machine(path: str | Path) -> str | Path:
    if not (name := hub_name(path)):
        return path
    from voxtab.native.hub.download import local_model  # imports huggingface_hub, which takes a while

    return local_model(name)


def _json(path: Path) -> dict:
    try:
        return layouts.config(path.read_bytes(), str(path))
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): see that you may read it.") from None
