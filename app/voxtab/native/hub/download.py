"""A model of the hub on this machine: in huggingface_hub's cache, which other programs share, or downloaded there.

What the cache has is used without asking the network. HF_HUB_OFFLINE=1 never asks it; HF_ENDPOINT, HF_HUB_CACHE and
HF_TOKEN are huggingface_hub's own settings.
"""

import logging
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from voxtab.errors import ModelError
from voxtab.native.hub.catalogue import known_models
from voxtab.native.hub.names import HubName
from voxtab.weights import layouts

# What a model needs beside its weights, if the repository has it. Downloaded first: where the weights are, it is too.
_BESIDE = "tekken.json", "params.json", "config.json"


def local_model(name: HubName) -> Path:
    """The path of the model, for `files.find_model`. Downloads what is missing, with progress on stderr if a terminal.

    ModelError if huggingface_hub is missing, there is no such model, or the network fails.
    """
    try:
        import huggingface_hub
    except ImportError:
        raise ModelError(
            f"{name} is a model on Hugging Face, and fetching it needs huggingface_hub: pip install 'voxtab[hub]', or "
            "give the path of a file."
        ) from None
    # It warns where nobody has logged in, which no public model needs.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    known = next((model for model in known_models() if model.repository == name.repository), None)
    revision = name.revision or (known.revision if known else None)
    file = name.file or (known.file if known else None)
    return _cached(huggingface_hub, name, revision, file) or _downloaded(huggingface_hub, name, revision, file)


def _cached(hub, name: HubName, revision: str | None, file: str | None) -> Path | None:
    """None unless all of the model is there."""
    try:
        folder = Path(hub.snapshot_download(name.repository, revision=revision, local_files_only=True))
    except (hub.errors.HTTPError, OSError, ValueError):
        return None
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    try:
        chosen = _choose(name, names, file)
        wanted = _parts(chosen, names, lambda index: (folder / index).read_text(encoding="utf-8"))
    except ModelError:
        return None
    return folder / chosen if set(wanted) <= set(names) else None


def _downloaded(hub, name: HubName, revision: str | None, file: str | None) -> Path:
    def fetch(file: str) -> Path:
        return Path(hub.hf_hub_download(name.repository, file, revision=revision))

    try:
        names = hub.HfApi().list_repo_files(name.repository, revision=revision)
        chosen = _choose(name, names, file)
        folder = os.path.dirname(chosen)
        for beside in _BESIDE:
            for place in dict.fromkeys([os.path.join(folder, beside), beside]):
                if place in names:
                    _check_kind(name, fetch(place))
        path = fetch(chosen)
        for part in _parts(chosen, names, lambda index: fetch(index).read_text(encoding="utf-8")):
            fetch(part)
        return path
    except hub.errors.GatedRepoError:
        raise ModelError(
            f"{name}: its owner asks for a login: accept the terms on its page and set HF_TOKEN."
        ) from None
    except hub.errors.RepositoryNotFoundError:
        raise ModelError(f"{name}: there is no such model on the hub: check the name, or set HF_TOKEN.") from None
    except hub.errors.RevisionNotFoundError:
        raise ModelError(f"{name}: it has no such revision: leave it out, or name a branch or a commit.") from None
    except (hub.errors.LocalEntryNotFoundError, hub.errors.OfflineModeIsEnabled):
        raise ModelError(
            f"{name} is not whole in the cache, and the hub cannot be asked: connect this machine once without "
            "HF_HUB_OFFLINE."
        ) from None
    except (hub.errors.HTTPError, OSError, RuntimeError) as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(
            f"{name} could not be downloaded ({why}): see that the network works and the disk has room, then try again."
        ) from None
    except ValueError as error:
        raise ModelError(f"{name} is no name on the hub ({' '.join(str(error).split())[:200]}).") from None


def _choose(name: HubName, names: list[str], file: str | None) -> str:
    """The file that stands for the model. ModelError if it is not there, or nothing or several could be meant."""
    if file:
        if file not in names:
            raise ModelError(f"{name}: the model has no file {file}{_examples(names)}.")
        return file
    found = layouts.models_among(each for each in names if "/" not in each)
    if not found:  # some keep the files in a folder
        found = [each for each in names if each.endswith(".gguf") and not layouts.is_mmproj(each)]
        found = [each for each in found if layouts.parts_of(each)[0] == each]
    if len(found) > 1:
        raise ModelError(f"{name} holds {len(found)} models: choose one with {name.repository}:FILE{_examples(names)}.")
    if found:
        return found[0]
    raise ModelError(f"{name} holds no .gguf file and no model.safetensors: choose another model.")


def _check_kind(name: HubName, path: Path) -> None:
    """By config.json: gigabytes of another kind of model are not downloaded."""
    if path.name == "config.json":
        text = path.read_text(encoding="utf-8", errors="replace")
        kind = re.search(r'"model_type":\s*"(\w{1,40})"', text)
        if kind and "voxtral" not in text:
            raise ModelError(f"{name} is a model of the kind {kind[1]}, and Voxtab runs Voxtral Mini 4B Realtime.")


def _examples(names: Iterable[str]) -> str:
    models = sorted(each for each in names if each.endswith((".gguf", ".safetensors", layouts.INDEX)))
    return f", such as {', '.join(models[:5])}" if models else ""


def _parts(chosen: str, names: list[str], text: Callable[[str], str]) -> list[str]:
    """The other files of weights that belong to the chosen one."""
    folder, file = os.path.split(chosen)
    if file.endswith(layouts.INDEX):
        return [os.path.join(folder, each) for each in layouts.listed(text(chosen), chosen)]
    if len(parts := layouts.parts_of(file)) > 1:
        return [os.path.join(folder, each) for each in parts]
    if not file.endswith(".gguf"):
        return []
    return [each for each in names if layouts.is_mmproj(each) and os.path.dirname(each) == folder]
