"""Who waits, who is refused, and that a slot is free only when its work has ended."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial

import pytest
from prometheus_client import CollectorRegistry, Gauge

from flood_seg.resources import cores
from flood_seg.service.lane import Lane
from flood_seg.service.problems import Problem
from tests.service.loop import finish


def make_lane(waiting: int, timeout: float = 30) -> tuple[Lane, Gauge]:
    gauge = Gauge("waiting", "", registry=CollectorRegistry())
    return Lane(1, waiting, timeout, gauge), gauge


async def here() -> bool:
    return False


def test_as_many_wait_as_may_and_they_come_in_order() -> None:
    async def main() -> None:
        lane, gauge = make_lane(waiting=2)
        go, order = threading.Event(), list[int]()

        def work(number: int) -> int:
            order.append(number)
            go.wait(10)
            return number

        tasks = [asyncio.create_task(lane.run(partial(work, n), here)) for n in range(lane.width + 2)]
        await asyncio.sleep(0.05)
        assert gauge._value.get() == 2
        with pytest.raises(Problem) as refused:
            await lane.run(lambda: work(99), here)
        assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "1")
        late = asyncio.create_task(lane.run(lambda: work(50), here, admitted=True))  # of a batch
        await asyncio.sleep(0.05)
        go.set()
        assert await asyncio.gather(*tasks) == list(range(lane.width + 2)) and await late == 50
        first, second = order[: lane.width], order[lane.width : -1]
        assert set(first) == set(range(lane.width)) and len(second) == 2 and order[-1] == 50 and gauge._value.get() == 0

    finish(main())


def test_half_of_those_who_wait_are_done_when_another_try_is_welcome() -> None:
    async def main() -> None:
        lane, _ = make_lane(waiting=16)
        await lane.run(partial(time.sleep, 0.5), here)
        go = threading.Event()
        tasks = [asyncio.create_task(lane.run(partial(go.wait, 10), here)) for _ in range(lane.width + 16)]
        await asyncio.sleep(0.05)
        with pytest.raises(Problem) as refused:
            lane.admit()
        assert int(refused.value.headers["Retry-After"]) == pytest.approx(16 * 0.5 / lane.width / 2, abs=1)
        go.set()
        await asyncio.gather(*tasks)

    finish(main())


def test_work_that_takes_too_long_keeps_its_slot_until_it_ends() -> None:
    async def main() -> None:
        lane, _ = make_lane(waiting=0, timeout=0.1)
        busy, most, lock = 0, 0, threading.Lock()

        def work() -> None:
            nonlocal busy, most
            with lock:
                busy += 1
                most = max(most, busy)
            time.sleep(0.4)
            with lock:
                busy -= 1

        found = await asyncio.gather(*(lane.run(work, here) for _ in range(lane.width)), return_exceptions=True)
        assert [getattr(error, "status", None) for error in found] == [503] * lane.width
        with pytest.raises(Problem, match="busy"):
            await lane.run(work, here)
        await asyncio.sleep(0.5)
        assert await lane.run(lambda: 1, here) == 1 and most == lane.width == 1 + max(1, min(4, cores() // 2))

    finish(main())


def test_callers_who_have_gone_and_work_that_fails_give_their_slots_back() -> None:
    async def main() -> None:
        lane, _ = make_lane(waiting=0)

        async def gone() -> bool:
            return True

        def fail() -> None:
            raise ValueError("of the work")

        for _ in range(2 * lane.width):
            with pytest.raises(Problem) as problem:
                await lane.run(fail, gone)
            assert problem.value.status == 408
            with pytest.raises(ValueError, match="of the work"):
                await lane.run(fail, here)
        assert await lane.run(lambda: 1, here) == 1

    finish(main())
