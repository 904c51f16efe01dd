"""What the user gave is wrong. Everything else is a bug and keeps its traceback."""


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
