"""A cluster of two nodes does what this machine's processes do, to the bit, and loses nothing when one of them dies."""

import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
import yaml
from ray import cloudpickle
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.cluster_utils import Cluster

from dreamlap.agent import build_agent, load
from dreamlap.cluster import in_use, on_cluster
from dreamlap.config.parts import AgentConfig, ControllerConfig, DriverConfig, TrackConfig
from dreamlap.config.run import Config
from dreamlap.config.training import CMAESConfig
from dreamlap.episodes import EpisodeStore
from dreamlap.episodes.record import collect
from dreamlap.errors import Failed, Refused
from dreamlap.evaluation import evaluate
from dreamlap.learn.cmaes import train_cmaes
from dreamlap.learn.rollouts import Rollouts, awake_fitness, linear_of
from dreamlap.parallel import in_parallel
from dreamlap.run import Stage

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the nodes do not know this file

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A head of one core, that is ours; `add_node` gives it another one of a core."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield made
    made.shutdown()


@pytest.fixture
def second(nodes: Any) -> Iterator[Any]:
    """The second node. This process is connected, so `on_cluster` uses these two."""
    node = nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    ray.init(nodes.address, logging_level=logging.ERROR, log_to_driver=False)
    assert eventually(lambda: ray.cluster_resources()["CPU"] == 2)
    yield node
    ray.shutdown()
    if node in nodes.worker_nodes:
        nodes.remove_node(node)


def eventually(told: Callable[[], bool]) -> bool:
    """Whether it comes true within a minute."""
    deadline = time.time() + 60
    while not (true := told()) and time.time() < deadline:
        time.sleep(0.2)
    return true


def where(folder: Path, item: int) -> int:
    """Leaves a note of the node that began an item, and takes its time."""
    node = ray.get_runtime_context().get_node_id()
    (folder / f"{item}-{node}-{time.time_ns()}").touch()
    time.sleep(0.5)
    return item * item


def drive_into(folder: Path) -> dict[str, tuple[str, str]]:
    """What is collected: an agent that is known by its folder, on 20 tracks -> fingerprint and origin of every episode."""
    store = EpisodeStore(folder)
    collect(store, "e", 20, DriverConfig("champion", noise=(0.0, 0.5)), TrackConfig(), seed=3, steps=30, workers=2)
    return {episode.path.name: (episode.identity, str(episode.about)) for episode in store}


def evolve(folder: Path, on_generation: Any = None) -> torch.Tensor:
    """A linear C after three generations of CMA-ES on the track."""
    config = AgentConfig(controller=ControllerConfig("linear", "awake"))
    agent = build_agent(config, seed=1)
    how = CMAESConfig(generations=3, population=6, rollouts=2, steps=30, directions=0)
    fitness = awake_fitness(agent, 2, partial(torch.autocast, "cpu", enabled=False), how)

    def measured(candidates: torch.Tensor, seeds: list[int]) -> Rollouts:
        if on_generation and len(generations) == 1:
            on_generation()
        generations.append(fitness(candidates, seeds))
        return generations[-1]

    generations: list[Rollouts] = []
    train_cmaes(Stage(folder), linear_of(agent), measured, how, 1)
    assert len(generations) == 3
    assert len({value for generation in generations for value in generation.earned.mean(1)}) > 6  # order matters
    return linear_of(agent).layer.weight.detach().clone()


@pytest.mark.usefixtures("second")
def test_collecting_on_two_nodes_gives_the_episodes_of_two_processes(tmp_path: Path) -> None:
    here = drive_into(tmp_path / "processes")
    with on_cluster("auto"):
        there = drive_into(tmp_path / "cluster")
    assert len(here) == 20
    assert there == here


def test_cmaes_on_two_nodes_gives_the_c_of_two_processes_even_if_one_node_dies(nodes: Any, second: Any, tmp_path: Path) -> None:
    here = evolve(tmp_path / "processes")
    with on_cluster("auto"):
        there = evolve(tmp_path / "cluster", lambda: nodes.remove_node(second, allow_graceful=False))
        assert eventually(lambda: ray.cluster_resources()["CPU"] == 1)  # it is dead, whenever the head notices
    assert torch.equal(there, here)
    assert here.abs().sum() > 0


def test_a_node_that_dies_costs_what_it_had_begun_and_no_result(nodes: Any, second: Any, tmp_path: Path) -> None:
    with on_cluster("auto"):
        results = in_parallel(partial(where, tmp_path), range(12), 2)
        first, deadline = [next(results)], time.time() + 60
        while not any(second.node_id in path.name for path in tmp_path.iterdir()) and time.time() < deadline:
            first.append(next(results))
        nodes.remove_node(second, allow_graceful=False)
        assert [*first, *results] == [item * item for item in range(12)]
    begun = [path.name.split("-")[:2] for path in tmp_path.iterdir()]
    assert any(node == second.node_id for _, node in begun)  # it had taken part
    assert {int(item) for item, _ in begun} == set(range(12))


@pytest.mark.usefixtures("second")
def test_scores_of_agents_and_of_functions_are_the_same_on_a_cluster(tmp_path: Path) -> None:
    load("champion").save(tmp_path / "mine")
    agent, function = (tmp_path / "mine", range(900_000, 900_012)), (straight_on, range(900_000, 900_002))
    here = [evaluate(*asked, track="fast")["returns"] for asked in (agent, function)]
    with on_cluster("auto"):
        there = [evaluate(*asked, track="fast")["returns"] for asked in (agent, function)]
    assert there == here
    assert len(set(here[0])) > 6


def straight_on(frame: np.ndarray) -> list[float]:
    return [0.0, 0.3 if frame.any() else 0.0, 0.0]


def invert(item: int) -> float:
    return 1 / item


@pytest.mark.usefixtures("second")
def test_what_a_node_raises_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError) as caught, on_cluster("auto"):
        list(in_parallel(invert, [1, 0], 2))
    assert "return 1 / item" in str(caught.value.__cause__)


class Unreadable:
    """What no machine but this one can read."""

    def __reduce__(self) -> Any:
        return __import__, ("only_here",)


@pytest.mark.usefixtures("second")
def test_a_node_that_lacks_what_a_task_needs_is_told_so() -> None:
    told = r"failed at a task.*No module named 'only_here'.*Every machine needs"
    with pytest.raises(Failed, match=told), on_cluster("auto"):
        list(in_parallel(str, [Unreadable()], 2))


@pytest.mark.parametrize("address", ["rai", "Auto", "10.0.0.1", ":6379", "ray://", "host:port"])
def test_what_is_no_address_is_refused_by_its_flag(address: str) -> None:
    with pytest.raises(Refused, match=r"--cluster is `ray`, `auto` or the address"):
        Config(cluster=address)
    with pytest.raises(Refused, match="--cluster"), on_cluster(address):
        pytest.fail("it was entered")


def test_a_cluster_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unanswered(*_: Any, **__: Any) -> None:
        raise ConnectionError("ray client: nobody")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", unanswered)
    for address in ("127.0.0.1:1", "auto"):  # in place of a cluster that is asked for, no other one is started
        with pytest.raises(Failed, match=f"--cluster {address}: no cluster answers there.*nobody"), on_cluster(address):
            pytest.fail("it was entered")
    assert not in_use()


LISTENING = """
from pathlib import Path
from dreamlap.cluster import on_cluster
from dreamlap.parallel import in_parallel

def listening():
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    return {words[1].split(":")[0] + ":" + words[1].split(":")[1] for words in lines if words[3] == "0A"}

before = listening()
with on_cluster("ray"):
    assert list(in_parallel(abs, [-1, -2], 2)) == [1, 2]
    print(*(listening() - before))
"""
LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")
"""127.0.0.1, the same in a socket of IPv6, and ::1, as Linux writes them."""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells in /proc/net who listens where")
def test_a_cluster_of_this_machine_alone_is_reached_by_no_other(tmp_path: Path) -> None:
    told = subprocess.run([sys.executable, "-c", LISTENING], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    ports = told.stdout.split()
    assert len(ports) >= 3, told.stderr
    assert [port for port in ports if not port.startswith(LOOPBACK)] == []


def test_a_cluster_that_others_would_reach_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("it was started"))
    with pytest.raises(Refused, match="would listen to other machines"), on_cluster("ray"):
        pytest.fail("it was entered")
    assert not in_use()


def test_without_ray_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(Refused, match=r"pip install -c constraints\.txt -e '\.\[cluster\]'"), on_cluster("auto"):
        pytest.fail("it was entered")


def test_the_documented_cluster_is_one_that_ray_accepts() -> None:
    page = (Path(__file__).parent.parent / "docs" / "cluster.md").read_text("utf-8")
    found = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert found
    described = yaml.safe_load(found[1])
    validate_config(prepare_config(described))
    with pytest.raises(Exception, match="Additional properties"):
        validate_config(prepare_config(described) | {"machines": 3})


def test_a_cluster_is_not_part_of_what_a_run_is() -> None:
    from dreamlap.cli.runs import parse

    assert parse("run", ["debug", "--cluster", "ray"]).name == "debug"
    assert replace(Config(), cluster="ray").cluster == "ray"
