"""Files that travel with the package: shaders and the embedded model."""

from pathlib import Path

_PACKAGE = Path(__file__).parent
EMBEDDED_MODEL = "tiny"
EMBEDDED_MODEL_NAME = "embedded self-test model (letters, digits, dates, commands)"


def folder(name: str, in_checkout: str) -> Path:
    """`name` inside the installed package, or, in an editable install, `in_checkout` in the checkout."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent.parent / in_checkout


def shader(name: str, shaders: Path | None = None) -> str:
    """The WGSL of one kernel: its file, after the parts that the file's first line names. WGSL has no include."""
    shaders = shaders or folder("shaders", "shaders")
    parts = [shaders / "parts" / f"{part}.wgsl" for part in shader_parts(name, shaders)]
    return "".join(file.read_text(encoding="utf-8") for file in (*parts, shaders / f"{name}.wgsl"))


def shader_parts(name: str, shaders: Path) -> list[str]:
    """Files that a kernel's first line says it is `with`."""
    with open(shaders / f"{name}.wgsl", encoding="utf-8") as file:
        first = file.readline()
    return first.split()[2:] if first.startswith("// with ") else []


def embedded_model() -> Path:
    """The folder of the model that comes with the package."""
    return folder("models", "web/models") / EMBEDDED_MODEL


def embedded_clips() -> list[Path]:
    """Short recordings that the embedded model can transcribe; clips.json next to them says what is spoken."""
    return sorted((embedded_model() / "clips").glob("*.flac"))
