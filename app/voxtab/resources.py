"""Files that travel with the package: shaders and the embedded model."""

from pathlib import Path

_PACKAGE = Path(__file__).parent
EMBEDDED_MODEL = "tiny"


def folder(name: str, in_checkout: str) -> Path:
    """`name` inside the installed package, or, in an editable install, `in_checkout` in the checkout."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent.parent / in_checkout


def shader(name: str) -> str:
    """The WGSL of one kernel: its file, and before it those that the file's first line is `with`, as WGSL has no include."""
    text = _shader_file(name)
    first, _, _ = text.partition("\n")
    parts = first.removeprefix("// with ").split() if first.startswith("// with ") else []
    return "".join(_shader_file(part) for part in parts) + text


def _shader_file(name: str) -> str:
    return (folder("shaders", "shaders") / f"{name}.wgsl").read_text(encoding="utf-8")


def built_site() -> Path:
    """Where tools/build_site writes the page in a checkout."""
    return folder("site", "dist/site")


def embedded_model() -> Path:
    """The folder of the model that comes with the package: a self-test of letters, digits, dates and commands."""
    return folder("models", "web/models") / EMBEDDED_MODEL


def embedded_clips() -> list[Path]:
    """Short recordings that the embedded model can transcribe; clips.json beside them says what is spoken."""
    return sorted((embedded_model() / "clips").glob("*.flac"))
