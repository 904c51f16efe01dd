"""OWNER/REPO[@REVISION][:FILE]: a model on Hugging Face's hub, as --model takes it beside paths."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?"
_NAME = re.compile(rf"(?P<repository>{_PART}/{_PART})(?:@(?P<revision>[\w./-]+))?(?::(?P<file>[\w./ -]+))?", re.ASCII)
_FILES = ".gguf", ".safetensors", ".json"


@dataclass(frozen=True)
class HubName:
    repository: str  # OWNER/NAME
    revision: str | None  # a branch, tag or commit; None: the catalogue's, or main
    file: str | None  # of the repository; None: the only model in it

    def __str__(self) -> str:
        at = f"@{self.revision}" if self.revision else ""
        return f"{self.repository}{at}" + (f":{self.file}" if self.file else "")


def hub_name(text: str | os.PathLike) -> HubName | None:
    """None for a path: of something that is there, in a folder that is there, or with a model's suffix."""
    if not isinstance(text, str) or not (found := _NAME.fullmatch(text)) or ".." in text:
        return None
    path = Path(text)
    if path.exists() or path.parent.exists() or (not found["file"] and path.suffix in _FILES):
        return None
    return HubName(found["repository"], found["revision"], found["file"])
