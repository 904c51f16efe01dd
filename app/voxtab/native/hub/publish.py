"""A model or the page, where others can load it: on Hugging Face, or in a folder for any static host."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from voxtab.errors import ModelError, UserError
from voxtab.native.writing import write_whole

_CHUNK = 1 << 20
# Of a model's folder. Everything else in it stays where it is.
_MODEL_FILES = {"manifest.json", "tekken.json", "params.json", "config.json", "README.md", "LICENSE", "LICENSE.txt"}
_MODEL_SUFFIXES = ".gguf", ".safetensors", ".safetensors.index.json"
# R2's setting that lets a page of another origin read ranges: wrangler r2 bucket cors set BUCKET --file cors.json
_CORS = {
    "rules": [
        {
            "allowed": {"origins": ["*"], "methods": ["GET", "HEAD"], "headers": ["range"]},
            "exposeHeaders": ["Content-Range", "Content-Length", "Accept-Ranges", "ETag"],
            "maxAgeSeconds": 86400,
        }
    ]
}


@dataclass(frozen=True)
class PublishedFile:
    path: Path  # on this machine
    name: str  # there, with / between folders
    nbytes: int

    def sha256(self) -> str:
        digest = hashlib.sha256()
        with open(self.path, "rb") as file:
            while data := file.read(_CHUNK):
                digest.update(data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Publication:
    """What is published, to the byte."""

    kind: str  # "model" or "page"
    files: list[PublishedFile]
    left_out: list[str]  # names in the folder that are not published

    @property
    def nbytes(self) -> int:
        return sum(file.nbytes for file in self.files)


def publication(folder: str | os.PathLike) -> Publication:
    """What of `folder` is published: all of a site that tools/build_site wrote, or a model's own files.

    ModelError if the folder holds neither, or a shard of the manifest is missing.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ModelError(f"{path} is not a folder: give a model's, as voxtab shard writes it, or the page's.")
    names = sorted(each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file())
    names = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    if {"index.html", "site.json"} <= set(names):
        kind, chosen = "page", names
    else:
        kind, chosen = "model", _of_model(path, names)
    files = [PublishedFile(path / name, name, (path / name).stat().st_size) for name in chosen]
    return Publication(kind, files, [name for name in names if name not in chosen])


def _of_model(folder: Path, names: list[str]) -> list[str]:
    shards = set()
    if "manifest.json" in names:
        try:
            manifest = json.loads((folder / "manifest.json").read_bytes())
            shards = {shard["path"] for shard in manifest["shards"]}
        except (ValueError, LookupError, TypeError):
            raise ModelError(
                f"{folder}/manifest.json is not a manifest of a model: make it with voxtab shard."
            ) from None
        if missing := sorted(shards - set(names)):
            raise ModelError(f"{folder} has no {missing[0]}, which its manifest names: make both with voxtab shard.")
    chosen = [name for name in names if name in shards or name in _MODEL_FILES or name.endswith(_MODEL_SUFFIXES)]
    if not shards and not any(name.endswith((".gguf", ".safetensors")) for name in chosen):
        raise ModelError(
            f"{folder} holds no model and no page: give the folder that voxtab shard or tools/build_site wrote."
        )
    return chosen


def to_hub(published: Publication, repository: str, private: bool) -> str:
    """Upload to OWNER/NAME, a model's repository or a static Space, in one commit; made if it does not exist.

    Returns its address. UserError if huggingface_hub is missing, nobody is logged in, or the hub refuses.
    """
    try:
        import huggingface_hub as hub
    except ImportError:
        raise UserError("Uploading needs huggingface_hub: pip install 'voxtab[hub]'.") from None
    kind = "space" if published.kind == "page" else "model"
    api = hub.HfApi()
    try:
        url = api.create_repo(
            repository,
            repo_type=kind,
            private=private,
            exist_ok=True,
            space_sdk="static" if kind == "space" else None,
        )
        api.create_commit(
            repository,
            [hub.CommitOperationAdd(file.name, str(file.path)) for file in published.files],
            commit_message=f"The {published.kind}, by voxtab publish",
            repo_type=kind,
        )
    except hub.errors.LocalTokenNotFoundError:
        raise UserError("Nobody is logged in on the hub: run hf auth login, or set HF_TOKEN.") from None
    except (hub.errors.HTTPError, hub.errors.HFValidationError, OSError) as error:
        why = " ".join(str(error).split())[:300]
        raise UserError(f"The hub did not take it ({why}): check the name, and that HF_TOKEN may write.") from None
    return str(url)


def to_folder(published: Publication, folder: Path) -> None:
    """Copy to a new or empty folder, with what static hosts need: .nojekyll (GitHub Pages), cors.json (R2)."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there already and not empty: name a new folder.")
    for file in published.files:
        target = folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.path, target)
    for name, content in host_files(published).items():
        write_whole(folder / name, content, folder / f".{name}.aside")


def host_files(published: Publication) -> dict[str, str]:
    """Name -> content of what to_folder() adds."""
    if published.kind == "page":
        return {".nojekyll": ""}  # or GitHub Pages would leave out names that begin with _
    return {"cors.json": json.dumps(_CORS, indent=1) + "\n"}
