"""What huggingface_hub's cache on this machine has of Voxtral's models, downloaded by Voxtab or by another program."""

from dataclasses import dataclass

from voxtab.native.hub.catalogue import known_models

_WEIGHTS = ".gguf", ".safetensors"


@dataclass(frozen=True)
class CachedFile:
    repository: str
    revision: str  # a branch or tag if it has one, else the commit
    file: str
    nbytes: int

    @property
    def hub_name(self) -> str:
        """What --model takes."""
        at = "" if self.revision == "main" else f"@{self.revision}"
        return f"{self.repository}{at}:{self.file}"


def cached_files() -> list[CachedFile]:
    """Files of weights, in the catalogue's repositories and in those with voxtral in the name or a tekken.json."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return []
    known = {model.repository for model in known_models()}
    found = []
    for repository in sorted(repositories, key=lambda each: each.repo_id):
        for revision in sorted(repository.revisions, key=lambda each: each.commit_hash):
            files = {file.file_path.relative_to(revision.snapshot_path).as_posix(): file for file in revision.files}
            ours = repository.repo_id in known or "voxtral" in repository.repo_id.lower() or "tekken.json" in files
            if repository.repo_type != "model" or not ours:
                continue
            called = min(revision.refs, default=revision.commit_hash)
            found += [
                CachedFile(repository.repo_id, called, name, file.size_on_disk)
                for name, file in sorted(files.items())
                if name.endswith(_WEIGHTS)
            ]
    return found
