#!/usr/bin/env python3
"""How many tokens a decoder pass could yield if pads were drafted: from `voxtab transcribe --format json` on stdin.

A pass over one known token and K drafted pads keeps the pads that the model predicts too, up to the first other
token, which it yields as well; the text is that of the plain loop. Prompt tokens do not count.
"""

import argparse
import json
import sys

PAD, PROMPT_PADS, TOKEN_MS = 32, 32, 80


def passes(tokens: list[int], drafted: int) -> int:
    """Decoder passes for `tokens`, each yielding up to `drafted` pads and one token more."""
    count = at = 0
    while at < len(tokens):
        accepted = 0
        while accepted < drafted and at + accepted < len(tokens) and tokens[at + accepted] == PAD:
            accepted += 1
        at += accepted + 1
        count += 1
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drafted", type=int, nargs="+", default=[1, 2, 3, 4, 6, 7, 8], metavar="K")
    arguments = parser.parse_args()
    results = json.load(sys.stdin)
    streams = [result["tokens"][1 + PROMPT_PADS + result["delay_ms"] // TOKEN_MS:]
               for result in (results if isinstance(results, list) else [results])]
    total = sum(map(len, streams))
    print(f"{total} generated tokens, {sum(stream.count(PAD) for stream in streams) / total:.1%} of them pads")
    for drafted in arguments.drafted:
        count = sum(passes(stream, drafted) for stream in streams)
        print(f"{drafted} drafted: {total / count:.2f} tokens a pass, {(total - count) / (count * drafted):.1%} of drafts kept")


if __name__ == "__main__":
    main()
