"""The bounded queue: batches, who waits, who is refused, and that threads go on."""

import asyncio
import threading
import time

import pytest

from resnets.verbs.serve.batching import Batcher, Full


def batcher(answer, **options):
    found = {"name": "test", "num_threads": 2, "batch_size": 4, "max_delay_s": 0, "capacity": 8, "max_wait_s": 100} | options
    return Batcher(answer, **found)


def run(main, answer=lambda works: [work * 10 for work in works], **options):
    """The result of `await main(batcher)`; its threads have ended then."""

    async def whole():
        made = batcher(answer, **options)
        try:
            return await asyncio.wait_for(main(made), 60)
        finally:
            await asyncio.to_thread(made.stop)
            assert not any(thread.is_alive() for thread in made.threads)

    return asyncio.run(whole())


def later():
    return time.monotonic() + 60


def test_results_come_to_those_who_asked_in_their_order():
    async def main(made):
        tickets = [made.submit([n, n + 100], later()) for n in range(4)]
        return [await ticket.done for ticket in tickets]

    assert run(main) == [[10 * n, 10 * n + 1000] for n in range(4)]


def test_a_full_queue_refuses_whole_requests_and_takes_others_later():
    go = threading.Event()

    def answer(works):
        assert go.wait(60)
        return works

    async def main(made):
        first = [made.submit([n], later()) for n in range(2)]
        while made.waiting:  # until both threads have one
            await asyncio.sleep(0.001)
        made.submit(range(7), later())
        with pytest.raises(Full) as full:
            made.submit(range(2), later())
        last = made.submit(range(1), later())
        go.set()
        await asyncio.gather(*(ticket.done for ticket in [*first, last]))
        return full.value.wait_s

    assert run(main, answer) >= 1


def test_a_request_that_would_wait_too_long_is_refused():
    go = threading.Event()

    async def main(made):
        made.picture_s = 2.0  # a slow model
        busy = [made.submit([n], later()) for n in range(2)]
        while made.waiting:
            await asyncio.sleep(0.001)
        made.submit([0, 0, 0], later())
        with pytest.raises(Full) as full:
            made.submit([0], later())
        go.set()
        await asyncio.gather(*(ticket.done for ticket in busy))
        return full.value.wait_s

    assert run(main, lambda works: go.wait(60) and works, max_wait_s=5) == 6


def test_what_waits_is_shared_among_threads_and_batches_are_bounded():
    sizes, go = [], threading.Event()

    def answer(works):
        sizes.append(len(works))
        assert go.wait(60)
        return works

    async def main(made):
        first = [made.submit([n], later()) for n in range(2)]
        while made.waiting:
            await asyncio.sleep(0.001)
        rest = made.submit(range(12), later())
        go.set()
        await asyncio.gather(*(ticket.done for ticket in [*first, rest]))

    run(main, answer, capacity=20, batch_size=5)
    assert sizes[:2] == [1, 1] and sizes[2] == 5 and max(sizes) == 5 and sum(sizes) == 14 and len(sizes) >= 6


@pytest.mark.parametrize("coming", [0, 1])
def test_a_batch_waits_only_while_others_are_on_their_way(coming):
    sizes = []

    def answer(works):
        sizes.append(len(works))
        return works

    async def main(made):
        began = time.monotonic()
        first = made.submit([1], later())
        if coming:
            await asyncio.sleep(0.01)
        second = made.submit([2], later()) if coming else None
        await first.done
        if second:
            await second.done
        return time.monotonic() - began

    took_s = run(main, answer, num_threads=1, batch_size=2, max_delay_s=30, coming=lambda: coming)
    assert sizes == ([2] if coming else [1]) and took_s < 20


def test_a_fault_is_the_result_of_its_batch_and_the_thread_goes_on():
    def answer(works):
        if works == [0]:
            raise SystemExit("as bad as it gets")
        return works

    async def main(made):
        bad = await made.submit([0], later()).done
        return bad, await made.submit([1], later()).done, made.alive

    (fault,), good, alive = run(main, answer, num_threads=1)
    assert isinstance(fault, SystemExit) and good == [1] and alive


def test_pictures_that_nobody_waits_for_are_left_out():
    done, go = [], threading.Event()

    def answer(works):
        assert go.wait(60)
        done.extend(works)
        return works

    async def main(made):
        first = made.submit([1], later())
        while made.waiting:
            await asyncio.sleep(0.001)
        made.submit([2], time.monotonic() - 1)
        made.submit([3], later()).dropped = True
        last = made.submit([4], later())
        go.set()
        await asyncio.gather(first.done, last.done)

    run(main, answer, num_threads=1)
    assert done == [1, 4]


def test_to_stop_finishes_what_waits():
    async def main(made):
        return [made.submit([n], later()) for n in range(6)]

    async def whole():
        made = batcher(lambda works: time.sleep(0.01) or works)
        tickets = await main(made)
        await asyncio.to_thread(made.stop)
        await asyncio.sleep(0)
        return [await asyncio.wait_for(ticket.done, 10) for ticket in tickets]

    assert asyncio.run(whole()) == [[n] for n in range(6)]
