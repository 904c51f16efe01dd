"""`voxtab batch --ray` on a local cluster of two machines, one of which is lost in the middle: tools/test_ray."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

sys.path.append(str(Path(__file__).parent))
from test_batch import GGUF, failures, make_clips, results

CLIPS = 60


@pytest.fixture(scope="module")
def cluster():
    machine = {"num_cpus": 1, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args=machine | {"include_dashboard": False})
    cluster.add_node(**machine)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def command(clips, out, address):
    arguments = ["batch", clips, "--model", GGUF, "--out", out, "--ray", address]
    return [sys.executable, "-m", "voxtab", *map(str, arguments)]


def has_actor(machine) -> bool:
    """Whether an actor of the batch runs on that machine: a child of its raylet, which Ray names so."""
    raylet = machine.all_processes["raylet"][0].process.pid
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == raylet and b"_Actor" in (process / "cmdline").read_bytes():
                return True
        except OSError:  # it has ended
            continue
    return False


def test_a_machine_is_lost(cluster, tmp_path):
    """All results come, and those that were there are not computed again."""
    make_clips(tmp_path / "clips", CLIPS)
    (tmp_path / "clips/bad.wav").write_bytes(b"no audio")
    out, (lost,) = tmp_path / "out", cluster.worker_nodes
    process = subprocess.Popen(
        command(tmp_path / "clips", out, cluster.address), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while len(results(out)) < 5 or not has_actor(lost):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    cluster.remove_node(lost, allow_graceful=False)
    before = results(out)
    assert 5 <= len(before) < CLIPS
    _, err = process.communicate(timeout=1200)  # on stdout, Ray tells that a machine is lost
    assert process.returncode == 2 and err.count("\n") == 2, err
    refusal, summary = err.splitlines()
    assert "bad.wav is not audio" in refusal
    done, there = map(
        int, re.fullmatch(r"voxtab: 61 files: (\d+) done now, (\d+) before or elsewhere, 1 missing\.", summary).groups()
    )
    assert done + there == CLIPS
    after = results(out)
    assert before.items() <= after.items() and len(after) == CLIPS
    for _, _, content in after.values():
        assert json.loads(content)["audio_seconds"] == 0.5
    assert {line["audio"] for line in failures(out)} == {str(tmp_path / "clips/bad.wav")}


def test_no_cluster(tmp_path):
    make_clips(tmp_path / "clips", 1)
    done = subprocess.run(
        command(tmp_path / "clips", tmp_path / "out", "127.0.0.1:1"), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 2 and done.stdout == ""
    assert "voxtab: There is no Ray cluster at 127.0.0.1:1 (" in done.stderr


def test_no_gpu_is_one_sentence(cluster, tmp_path):
    make_clips(tmp_path / "clips", 2)
    done = subprocess.run(
        [*command(tmp_path / "clips", tmp_path / "out", cluster.address), "--delay-ms", "100"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (2, "") and "100 ms" in done.stderr and done.stderr.count("\n") == 1


def test_actors_on_one_machine_take_different_gpus(cluster):
    """Ray believes the number of GPUs that a machine is started with."""

    class Actor:  # Ray sends a local class as it is; one of this module would be imported there
        def gpu(self) -> int:
            from voxtab.native.batch.ray_cluster import _own_gpu

            return _own_gpu()

    machine = cluster.add_node(num_cpus=2, num_gpus=2, object_store_memory=100 << 20)
    ray.init(cluster.address, log_to_driver=False)
    try:
        actors = [ray.remote(num_gpus=1)(Actor).remote() for _ in range(2)]
        assert sorted(ray.get([actor.gpu.remote() for actor in actors], timeout=300)) == [0, 1]
    finally:
        ray.shutdown()
        cluster.remove_node(machine)
