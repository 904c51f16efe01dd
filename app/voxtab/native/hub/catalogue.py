"""The models that Voxtab knows: web/models/catalogue.json, which the page reads too."""

import json
from dataclasses import dataclass
from functools import cache

from voxtab import resources


@dataclass(frozen=True)
class KnownModel:
    """One entry of the catalogue."""

    name: str
    repository: str  # OWNER/NAME on Hugging Face
    revision: str  # a commit, or a branch where no commit is known
    file: str
    tokenizer: str | None  # a file of the repository; None: the vocabulary is in the model's file
    gb: float  # about, to show
    bytes: int | None  # exactly, where known
    sha256: str | None
    type: str  # of most weights
    dialect: str  # whose names the tensors have (weights/dialects.py)
    licence: str
    gpu_gb: float  # GPU memory for the weights
    gpu_full_gb: float  # and with full caches

    @property
    def hub_name(self) -> str:
        """What --model takes."""
        return f"{self.repository}:{self.file}"


@cache
def known_models() -> list[KnownModel]:
    path = resources.folder("models", "web/models") / "catalogue.json"
    return [KnownModel(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))["models"]]
