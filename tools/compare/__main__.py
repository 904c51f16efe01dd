#!/usr/bin/env python3
"""Measures other software on the 4B model's shapes, and how fast this machine's GPU reads memory. Prints JSON.

Runs read_stream.py and each with_*.py of this folder one after another, with a time limit. Each also runs alone;
`--tiny` then tries it on a small model. It is work for a GPU. What needs a package that is missing says so.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

COMPARE = Path(__file__).resolve().parent
SECONDS = {  # limits
    "read_stream": 120,
    "with_onnxruntime": 300,
    "with_transformers": 180,
    "with_transcribe_cpp": 180,
    "with_llama_cpp": 120,
}


def run(name: str, limit: float) -> dict:
    """The JSON that a script prints, or the reason why it failed."""
    try:
        ended = subprocess.run([sys.executable, COMPARE / f"{name}.py"], capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"failed": f"not finished after {limit} s"}
    if ended.returncode:
        sys.stderr.write(ended.stderr)
        return {"failed": ended.stderr.strip().rpartition("\n")[2]}
    return json.loads(ended.stdout)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(json.dumps({name: run(name, limit) for name, limit in SECONDS.items()}, indent=1))
