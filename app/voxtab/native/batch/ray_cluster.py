"""A batch on a Ray cluster: Ray Data's pool of actors, each with a GPU of its own.

Ray starts an actor again, and gives its items to others, where a machine is lost. An item that was done before that is
not computed again: its result is there.
"""

import asyncio
import logging
import socket
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, cast

from voxtab.errors import UserError
from voxtab.native.batch.worker import Item, Outcome, Settings, Worker

CONNECT_SECONDS = 20
_MOST_BLOCKS = 10_000  # what Ray Data hands to an actor at a time; one item each, unless there are more


def outcomes(address: str, settings: Settings, items: list[Item]) -> Iterator[tuple[Item, Outcome]]:
    """What becomes of each item, in the order in which they end. UserError if there is no such cluster."""
    try:
        import ray
        import ray.data
    except ImportError:
        raise UserError("--ray needs Ray on this machine: pip install 'voxtab[ray]'.") from None
    if not items:
        return
    try:
        _check_reachable(address)
        ray.init(address, ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, OverflowError, ValueError, RuntimeError) as error:
        raise UserError(
            f"There is no Ray cluster at {address} ({str(error).splitlines()[0]}): start one with ray start --head."
        ) from None
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    gpus = int(ray.cluster_resources().get("GPU", 0))
    machines = sum(node["Alive"] for node in ray.nodes())
    rows = [{"source": item.source, "place": item.place.as_posix(), "item": i} for i, item in enumerate(items)]
    results = ray.data.from_items(rows, override_num_blocks=min(len(rows), _MOST_BLOCKS)).map(
        cast(Any, _Actor),
        fn_constructor_args=(settings,),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=gpus or machines),
        num_gpus=1 if gpus else 0,
        num_cpus=0 if gpus else 1,
    )
    try:
        for row in results.iter_rows():
            yield items[row["item"]], Outcome(row["state"], row["error"] or None, tuple(row["notes"]))
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        raise (cause if isinstance(cause, UserError) else error) from None


def _check_reachable(address: str) -> None:
    """OSError if nobody answers at host:port or ray://host:port, where Ray would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()


class _Actor:
    def __init__(self, settings: Settings):
        self._runner = asyncio.Runner()
        self._worker = Worker(settings, _own_gpu())

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        item = Item(row["source"], PurePath(row["place"]))
        outcome = self._runner.run(self._worker.work(item, wait=True))
        return {"item": row["item"], "state": outcome.state, "error": outcome.error or "", "notes": [*outcome.notes]}


def _own_gpu() -> int:
    """The index, among this machine's GPUs, of the one that Ray gave to this actor.

    Ray sets CUDA_VISIBLE_DEVICES, which Vulkan ignores. Vulkan may number the GPUs otherwise than CUDA, but where each
    actor takes another number, each takes another GPU.
    """
    import ray

    ids = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
    return int(ids[0]) if ids else 0
