"""Segments blocks on the workers of a Ray cluster; see docs/scaling.md."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, replace
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.config.schema.checks import check_range
from flood_seg.console import counted, warn
from flood_seg.errors import BackendError, ConfigError, FloodSegError
from flood_seg.inference.backends.streams import MAX_STREAMS
from flood_seg.resources import cores
from flood_seg.scenes.executor import Executor
from flood_seg.scenes.ray_cluster import MODE, check_address, connect
from flood_seg.scenes.ray_node import NodeWatch
from flood_seg.scenes.ray_worker import SceneTask, SegmentWorker, file_size
from flood_seg.signals import sigterm_as_interrupt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flood_seg.inference.predictor import Predictor
    from flood_seg.scenes.executor import ModelSource
    from flood_seg.scenes.grid import Block, Grid
    from flood_seg.scenes.scene import Scene
    from flood_seg.scenes.stream import BlockResult

PATIENCE_SECONDS = 15  # without a worker, until the command says what it waits for


@dataclass(eq=False)
class _Worker:
    """A worker process of the cluster.

    Attributes:
        actor: its handle.
        is_ready: whether it has the model and the scene.
        blocks: that it has at once.
    """

    actor: Any
    is_ready: bool = False
    blocks: int = 0


class RayExecutor(Executor):
    """Segments blocks on workers that each hold the model; their results come back to this process.

    A worker that is lost, with its node or alone, is replaced where the cluster has room, and its blocks count as
    failed once. A node that does not see the same model and scene, or has another engine, is left out.
    """

    def __init__(
        self,
        model: ModelSource,
        *,
        address: str | None,
        actors: int | None,
        cpus: int,
        gpus: float,
        blocks_in_flight: int,
        retries: int,
        start_timeout: float,
    ) -> None:
        """Takes the model and the keys of configs/executor/ray.yaml; starts nothing.

        Raises:
            ConfigError: an impossible value.
        """
        super().__init__(retries)
        address = None if address == "local" else address
        check_address(address)
        check_range("executor.actors", 1 if actors is None else actors, 1)
        check_range("executor.cpus", cpus, 1)
        check_range("executor.gpus", gpus, 0)
        check_range("executor.blocks_in_flight", blocks_in_flight, 1, 100)
        check_range("executor.start_timeout", start_timeout, 0, open_low=True)
        if not float(gpus).is_integer() and (gpus > 1 or gpus != round(gpus, 4)):
            raise ConfigError(f"executor.gpus={gpus}: give a whole number, or a fraction of one with 4 decimals")
        if address is None and cpus > cores():
            raise ConfigError(f"executor.cpus={cpus}: this machine has {counted(cores(), 'core')} to use")
        threads = {"threads": cpus, "streams": min(cpus, MAX_STREAMS)}
        open_threads = {key: number for key, number in threads.items() if model.backend.get(key) == 0}
        name = str(Path(model.name).absolute()) if Path(model.name).exists() else model.name
        self._model = replace(model, name=name, backend=model.backend | open_threads)
        self._address, self._count, self._timeout, self._in_flight = address, actors, start_timeout, blocks_in_flight
        self._resources = {"num_cpus": cpus, "num_gpus": gpus}
        self._workers: list[_Worker] = []
        self._has_waited = False
        self._lost_unready = 0  # workers in a row that ended before they were ready

    def __enter__(self) -> RayExecutor:
        """Connects to the cluster, or starts one.

        Raises:
            ServerError: it does not respond.
            ModuleNotFoundError: Ray is not installed.
        """
        with ExitStack() as stack:
            if threading.current_thread() is threading.main_thread():  # Ray replaces the handler, and logs a stack
                stack.callback(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
            self._ray = connect(self._address)
            stack.callback(self._ray.shutdown)
            stack.enter_context(sigterm_as_interrupt())
            self._node = NodeWatch(self._ray)
            stack.callback(self._node.close)
            room = self._room()
            if not room and self._address is None:  # which no autoscaler changes
                raise BackendError(
                    f"executor=ray: no room for a worker on this machine: {self._demand()}; set executor.gpus"
                )
            self._count = self._count or max(1, room)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the workers, and a cluster that was started here."""
        if self._node.has_ended:  # with the workers
            return
        for worker in self._workers:
            self._ray.kill(worker.actor)
        self._workers = []
        self._open.close()

    def _room(self) -> int:
        """Returns how many workers the cluster's nodes have room for, now that none is busy."""
        asked = {name[4:-1].upper(): number for name, number in self._resources.items() if number}
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return sum(int(min(node.get(key, 0) // number for key, number in asked.items())) for node in nodes)

    def _demand(self) -> str:
        """Returns what each worker requires, and what the cluster has."""
        asked = ", ".join(f"{number:g} {name[4:].upper()}" for name, number in self._resources.items() if number)
        found = self._ray.cluster_resources()
        has = ", ".join(f"{found.get(key, 0):g} {key}S" for key in ("CPU", "GPU"))
        return f"each requires {asked}, the cluster has {has}" + ("" if self._room() else ", too little on each node")

    def segment(
        self, scene: Scene, predictor: Predictor, grid: Grid, blocks: Sequence[Block], batch_size: int
    ) -> Iterator[tuple[Block, BlockResult | FloodSegError]]:
        """Tries each block once; see `Executor.segment`.

        Raises:
            BackendError: there is no worker that can do the work.
        """
        waiting = deque(blocks)
        calls: dict[Any, tuple[_Worker, Block | None]] = {}
        size = file_size(scene.path)
        path = scene.path if size is None else scene.path.absolute()
        task = self._ray.put(SceneTask(path, size, grid, batch_size))

        def prepare(worker: _Worker) -> None:
            worker.is_ready, worker.blocks = False, 0
            calls[worker.actor.prepare.remote(task)] = (worker, None)

        assert self._count is not None
        while len(self._workers) < min(self._count, len(blocks)):
            self._workers.append(self._start())
        for worker in self._workers:
            prepare(worker)
        seen = time.monotonic()
        while waiting or any(block for _, block in calls.values()):
            self._node.check()
            self._hand_out(waiting, calls)
            try:
                done, _ = self._ray.wait(list(calls), timeout=1)
            except OSError as error:  # of the connection to this machine's node
                raise self._node.ended() from error
            if any(worker.is_ready for worker in self._workers):
                seen = time.monotonic()
            elif not done:
                self._check_patience(time.monotonic() - seen)
            for call in done:
                self._node.check()
                worker, block = calls.pop(call)
                try:
                    answer = self._ray.get(call)
                except self._ray.exceptions.RayTaskError:  # a bug
                    raise
                except self._ray.exceptions.RayError as error:
                    if worker in self._workers:
                        self._replace(worker, error)
                        prepare(self._workers[-1])
                    if block:
                        yield block, BackendError("its worker was lost, for want of memory or with its node")
                    continue
                if block:
                    worker.blocks -= 1
                    yield block, answer
                    del answer  # its memory is the object store's
                else:
                    self._welcome(worker, *answer)

    def _start(self) -> _Worker:
        remote = self._ray.remote(SegmentWorker).options(scheduling_strategy="SPREAD", **self._resources)
        return _Worker(remote.remote(self._model, self._resources["num_cpus"]))

    def _hand_out(self, waiting: deque[Block], calls: dict[Any, tuple[_Worker, Block | None]]) -> None:
        """Gives blocks to the workers that have the fewest, up to so many each that results do not pile up."""
        while waiting and (free := [one for one in self._workers if one.is_ready and one.blocks < self._in_flight]):
            worker, block = min(free, key=lambda one: one.blocks), waiting.popleft()
            calls[worker.actor.segment.remote(block)] = (worker, block)
            worker.blocks += 1

    def _welcome(self, worker: _Worker, node: str, error: FloodSegError | None) -> None:
        """Notes that a worker can begin, or leaves it out where something is wrong with its node."""
        self._lost_unready = 0
        worker.is_ready = error is None
        if error is None:
            return
        fault = f"node {node}: {error}; all nodes must see the same model and scenes under the same paths"
        self._workers.remove(worker)
        self._ray.kill(worker.actor)
        if not self._workers:
            raise BackendError(fault) from error
        assert self._count is not None
        self._count -= 1
        warn(f"{fault}; a worker is left out")

    def _replace(self, worker: _Worker, error: Exception) -> None:
        reason = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "")[:300]
        self._lost_unready += not worker.is_ready
        if self._lost_unready > (1 + self.retries) * len(self._workers):  # a node may have been lost with many
            token = "; where the cluster requires no token, unset RAY_AUTH_MODE" if environ.get(MODE) == "token" else ""
            raise BackendError(f"executor=ray: workers end before they are ready: {reason}{token}") from error
        self._workers.remove(worker)
        self._ray.kill(worker.actor)  # it may only be out of reach
        warn("a worker was lost; its blocks are given to others")
        self._workers.append(self._start())

    def _check_patience(self, seconds: float) -> None:
        """Says what the command waits for, once, or gives up."""
        if seconds > self._timeout:
            raise BackendError(
                f"executor=ray: no worker has started in {self._timeout:g} s: {self._demand()}; wait for others' work "
                "on it, or set executor.cpus, executor.gpus or executor.start_timeout"
            )
        if seconds > PATIENCE_SECONDS and not self._has_waited:
            self._has_waited = True
            warn(f"waits for the first worker: {self._demand()}")
