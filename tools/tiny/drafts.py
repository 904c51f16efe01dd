#!/usr/bin/env python3
"""How many tokens a decoder pass could yield if pads were drafted: from
`voxtab transcribe --format json --tokens` or `evaluate.py --tokens` on stdin.

A pass over one known token and K drafted pads keeps the pads that the model predicts too, up to the first other
token, which it yields as well; the text is that of the plain loop. Neither the prompt nor the pads after a stream's
last word count. `alone`: passes that kept no draft. `kept`: of the drafted pads.
"""

import argparse
import json
import sys

PAD, PROMPT_PADS, TOKEN_MS = 32, 32, 80


def passes(tokens: list[int], drafted: int) -> list[int]:
    """How many drafted pads, of `drafted`, each decoder pass for `tokens` keeps; it yields one token more."""
    kept, at = [], 0
    while at < len(tokens):
        accepted = 0
        while accepted < drafted and at + accepted < len(tokens) and tokens[at + accepted] == PAD:
            accepted += 1
        at += accepted + 1
        kept.append(accepted)
    return kept


def spoken(result: dict) -> list[int]:
    """A result's generated tokens up to its last word."""
    tokens = result["tokens"][1 + PROMPT_PADS + result["delay_ms"] // TOKEN_MS :]
    while tokens and tokens[-1] == PAD:
        tokens.pop()
    return tokens


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drafted", type=int, nargs="+", default=[1, 2, 3, 4, 6, 8], metavar="K")
    arguments = parser.parse_args()
    results = json.load(sys.stdin)
    streams = [spoken(result) for result in (results if isinstance(results, list) else [results])]
    total = sum(map(len, streams))
    if not total:
        sys.exit("No words in these results: there is nothing to draft.")
    print(f"{total} generated tokens, {sum(stream.count(PAD) for stream in streams) / total:.1%} of them pads")
    for drafted in arguments.drafted:
        kept = [accepted for stream in streams for accepted in passes(stream, drafted)]
        print(
            f"{drafted} drafted: {total / len(kept):.2f} tokens a pass, {sum(kept) / (len(kept) * drafted):.1%} kept, "
            f"{kept.count(0) / len(kept):.1%} of passes alone"
        )


if __name__ == "__main__":
    main()
