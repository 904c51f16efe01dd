#!/usr/bin/env python3
"""Measures how fast a plain WGSL kernel reads memory, natively: the limit for kernels that read their weights once.

A buffer is read from end to end, again and again. Each dispatch reads one range of it, as each product of a step reads
its own weights. Smaller ranges show what it costs to start and end a dispatch, unless recording a dispatch takes the
host longer than running it takes the GPU (`host_us`). Prints JSON.
"""

import argparse
import asyncio
import json
import statistics
import struct
import time
from pathlib import Path

from voxtab.native.gpu.device import NativeDevice

KERNEL = str(Path(__file__).resolve().with_suffix(""))  # an absolute path stays what it is in shaders/
FILL_WORKGROUPS = 4096


async def read_stream(
    device, mib: int, parts_mib: list[float], workgroups: list[int], counts: list[int], least_ms: float, repeats: int
) -> dict:
    """TB/s for each size of range, workgroup size and number of workgroups. RuntimeError if a sum is wrong."""
    nbytes = min(mib << 20, device.limits["maxStorageBufferBindingSize"], device.limits["maxBufferSize"]) // 256 * 256
    x, out = device.buffer(nbytes, "stream"), device.buffer(4 * max(*counts, FILL_WORKGROUPS), "sums")

    async def dispatches(size: int, constants: dict, groups: int) -> list[int]:
        """The commands of a plan that reads all of x, `size` bytes a dispatch."""
        pipeline, commands = await device.pipeline(KERNEL, constants), []
        for first in range(0, nbytes, size):
            params = device.buffer(16, uniform=True)
            device.write(params, 0, struct.pack("<2I", first // 16, min(size, nbytes - first) // 16))
            commands += [pipeline, device.bind(pipeline, [params, x, out]), groups, 1, 1]
        return commands

    async def timed(plan: int, passes: int = 1) -> tuple[float, float]:
        """Seconds until the last pass is done, and seconds in which the host recorded. The GPU works meanwhile."""
        since = time.perf_counter()
        for _ in range(passes - 1):
            device.run(plan)
        read = device.run(plan, (out, 0, 4))
        recorded = time.perf_counter() - since
        await read
        return time.perf_counter() - since, recorded

    device.run(device.plan(await dispatches(nbytes, {"FILL": 1}, FILL_WORKGROUPS)))
    empty = device.plan([])
    wait = statistics.median([(await timed(empty))[0] for _ in range(20)])
    rows = []
    for part in parts_mib:
        size = min(int(part * (1 << 20)) // 256 * 256, nbytes)
        for invocations in workgroups:
            for groups in counts:
                commands = await dispatches(size, {"WORKGROUP": invocations}, groups)
                once = device.plan(commands)
                sums = struct.unpack(f"<{groups}f", await device.run(once, (out, 0, 4 * groups)))
                last = (nbytes - 1) // size * size  # where the last range starts
                if sum(sums) != (nbytes - last) // 16 * 2.5:  # four vec4s sum to 1 + 2 + 3 + 4
                    raise RuntimeError(
                        f"A sum over {size:,} bytes is {sum(sums)} instead of {(nbytes - last) // 16 * 2.5}."
                    )
                passes = max(1, int(least_ms / 1000 / max((await timed(once))[0] - wait, 1e-5)))
                runs = [await timed(once, passes) for _ in range(repeats)]
                times = sorted((seconds - wait) / passes for seconds, _ in runs)
                rows.append(
                    {
                        "part_mib": round(size / (1 << 20), 3),
                        "workgroup": invocations,
                        "workgroups": groups,
                        "tbs": {
                            name: round(nbytes / seconds / 1e12, 4)
                            for name, seconds in (
                                ("median", statistics.median(times)),
                                ("least", times[-1]),
                                ("most", times[0]),
                            )
                        },
                        "host_us": round(
                            1e6 * min(recorded for _, recorded in runs) / passes / (len(commands) // 5), 2
                        ),
                    }
                )
    best = {
        f"best_tbs_{part:g}_mib": max((row["tbs"]["median"] for row in rows if row["part_mib"] == part), default=None)
        for part in dict.fromkeys(row["part_mib"] for row in rows)
    }
    about = {
        "gpu": device.adapter.name,
        "bytes": nbytes,
        "wait_ms": round(1000 * wait, 4),
    }
    return about | best | {"rows": rows}


async def measure(options) -> dict:
    device = await NativeDevice.open()
    if options.tiny:
        return await read_stream(device, 1, [1, 0.3], [64], [8], 1, 3)
    return await read_stream(
        device, options.mib, options.parts, options.workgroup, options.workgroups, options.least_ms, options.repeats
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="only 1 MiB, to see that it runs")
    parser.add_argument(
        "--mib", type=int, default=1024, help="size of the buffer (default: 1024, or the largest binding)"
    )
    parser.add_argument(
        "--parts",
        type=float,
        nargs="+",
        default=[1024, 256, 32],
        metavar="MIB",
        help="sizes of what a dispatch reads (default: 1024 256 32)",
    )
    parser.add_argument(
        "--workgroup",
        type=int,
        nargs="+",
        default=[64, 128, 256],
        metavar="N",
        help="sizes of a workgroup (default: 64 128 256)",
    )
    parser.add_argument(
        "--workgroups",
        type=int,
        nargs="+",
        default=[1056, 4224, 16896],
        metavar="N",
        help="numbers of workgroups in a dispatch (default: 1056 4224 16896)",
    )
    parser.add_argument("--least-ms", type=float, default=50, help="least length of a measurement (default: 50)")
    parser.add_argument("--repeats", type=int, default=5, help="measurements (default: 5)")
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
