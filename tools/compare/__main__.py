"""What others reach on this machine with the 4B model's shapes, and how fast its memory is read: prints JSON."""

import json
import subprocess
import sys
from pathlib import Path

COMPARE = Path(__file__).resolve().parent
SECONDS = {"read_stream": 120, "with_onnxruntime": 300, "with_transformers": 180}  # limits


def run(name: str, limit: float) -> dict:
    """A script's JSON; of one that fails or does not end, the reason."""
    try:
        ended = subprocess.run([sys.executable, COMPARE / f"{name}.py"], capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"failed": f"did not end in {limit} s"}
    if ended.returncode:
        sys.stderr.write(ended.stderr)
        return {"failed": ended.stderr.strip().rpartition("\n")[2]}
    return json.loads(ended.stdout)


if __name__ == "__main__":
    print(json.dumps({name: run(name, limit) for name, limit in SECONDS.items()}, indent=1))
