"""What the user gave is wrong. Everything else is a bug and keeps its traceback."""

import os


class UserError(Exception):
    """Wrong input. `str(error)` is one sentence that names the thing and says what to do."""


class ModelError(UserError):
    """A model's files are missing, broken, or of a kind that is not supported."""


class TokenizerError(UserError):
    """`tekken.json` is missing or broken."""


class AudioError(UserError):
    """The audio cannot be read, or contains NaN or infinity."""


class DeviceError(UserError):
    """No GPU adapter, or one whose limits are too low."""


def shown(name: str | os.PathLike) -> str:
    """A name as it stands in a message: on one line, without control characters for a terminal, not too long."""
    text = os.fspath(name)
    text = text if isinstance(text, str) else os.fsdecode(text)
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= 200 else text[:200] + "..."
