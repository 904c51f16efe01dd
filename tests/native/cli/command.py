"""What tests of the command share: a small model with random weights, its clip, and how a refusal looks."""

import json
import os
from pathlib import Path

ORACLE = Path(__file__).parents[2] / "oracle" / "delay480"
EXPECTED = json.loads((ORACLE / "expected.json").read_text())
CLIP, GGUF = str(ORACLE / "clip.flac"), ORACLE / "tiny-q4.gguf"
# Environment of the child process: only paths of packages and drivers.
BARE = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home())} | {
    name: os.environ[name] for name in ("PYTHONPATH", "LD_LIBRARY_PATH", "VK_DRIVER_FILES") if name in os.environ
}


def refused(result, *words):
    """Status 2, nothing on stdout, one sentence on stderr that names the thing."""
    status, out, err = result
    assert status == 2 and out == "", result
    assert err.startswith("voxtab") and err.endswith(".\n") and err.count("\n") == 1, err
    for word in words:
        assert str(word) in err, err
