"""`voxtab models`."""

import argparse
import importlib.util
import json

DESCRIPTION = "The models that Voxtab knows, and what this machine has of them in Hugging Face's cache."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments) -> int:
    from voxtab.native.hub.catalogue import known_models

    has_hub = importlib.util.find_spec("huggingface_hub") is not None
    cached = []
    if has_hub:
        from voxtab.native.hub.cache import cached_files

        cached = cached_files()
    if arguments.json:
        known = [vars(model) | {"model": model.hub_name} for model in known_models()]
        here = [vars(file) | {"model": file.hub_name} for file in cached]
        print(json.dumps({"known": known, "cached": here}, indent=1, ensure_ascii=False))
        return 0
    print("Known, for --model:")
    for model in known_models():
        print(f"  {model.hub_name}")
        print(
            f"      {model.name}: {model.type}, {model.gb:.2f} GB, {model.licence}; GPU memory {model.gpu_gb} GB, "
            f"{model.gpu_full_gb} GB with full caches"
        )
    print("In the cache:")
    for file in cached:
        print(f"  {file.hub_name}    {file.nbytes / 1e9:.2f} GB")
    if not has_hub:
        print("  cannot be read without huggingface_hub: pip install 'voxtab[hub]'")
    elif not cached:
        print("  nothing yet")
    return 0
