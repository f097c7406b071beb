"""The engine of Ray: what is lost is tried again, within a bound, and every fault says what to do."""

import socket
import threading
from functools import partial
from types import SimpleNamespace

import pytest

from resnets.errors import InputError
from resnets.fleet import on_ray, worker
from resnets.fleet.engines import Lost, engine
from resnets.fleet.on_ray import connect, share
from tests.fleet import work


@pytest.fixture
def two(cluster):
    """The engine with two workers, and what it says."""
    said = []
    with engine("ray", num_workers=2, say=said.append) as opened:
        yield opened, said


def test_every_item_once(two):
    opened, said = two
    assert sorted(opened.each(work.double, range(7))) == [(item, 2 * item) for item in range(7)] and not said
    assert opened.cores == 1


def test_a_lost_worker_costs_its_item_only(two, tmp_path):
    opened, said = two
    assert sorted(opened.each(partial(work.die_once, str(tmp_path)), range(5))) == [(item, item) for item in range(5)]
    tries = {path.name: int(path.read_text()) for path in tmp_path.iterdir()}
    assert tries == {f"tried{item}": 1 + (item == 2) for item in range(5)}
    assert len(said) == 1 and said[0].startswith("lost     2: its worker died; again, 1 of 3")


@pytest.mark.slow  # another worker for each try; what is given up is quick below
def test_what_kills_every_worker_is_given_up(two, monkeypatch):
    monkeypatch.setattr(on_ray, "RETRIES", 1)
    opened, said = two
    found = dict(opened.each(work.die, range(4)))
    assert found == {0: 0, 1: 1, 2: Lost("its worker died"), 3: 3} and len(said) == 1


def test_too_little_memory_is_tried_again(two, monkeypatch):
    monkeypatch.setattr(on_ray, "RETRIES", 1)
    opened, said = two
    ((_, found),) = opened.each(work.starve, [1])
    assert isinstance(found, Lost) and found.reason.startswith(f"not enough memory on {socket.gethostname()} (too much)")
    assert len(said) == 1


def test_what_work_raises_ends_it(two):
    opened, _ = two
    with pytest.raises(InputError, match=r"^1: cannot be$"):
        list(opened.each(work.refuse, [1, 2, 3]))
    with pytest.raises(KeyError):
        list(opened.each(work.fail, [1]))


def test_workers_of_other_versions_are_refused(two, monkeypatch):
    opened, _ = two
    monkeypatch.setattr(worker, "versions", lambda: {"torch": "1.0", "resnets": "0.0"})
    driver = worker.Driver(versions=worker.versions())
    monkeypatch.setattr(on_ray, "Driver", lambda: driver)
    with pytest.raises(
        InputError, match=r"has other versions than this process: torch \S+ for 1.0, resnets \S+ for 0.0; install"
    ):
        list(opened.each(work.double, [1]))


def test_a_folder_that_workers_lack(two, monkeypatch):
    opened, _ = two
    driver = worker.Driver(folder="/nowhere")
    monkeypatch.setattr(on_ray, "Driver", lambda: driver)
    with pytest.raises(InputError, match=r"has no folder /nowhere .*; start in a folder that all machines share"):
        list(opened.each(work.double, [1]))


def test_a_package_that_workers_lack():
    found = on_ray.refused(RuntimeError("ray::call() ModuleNotFoundError: No module named 'resnets'"))
    assert str(found).startswith("a worker has no package resnets; install on every machine")
    assert on_ray.refused(RuntimeError("other")) is None


# --- the cluster ---


def test_cores_are_shared_as_machines_have_them():
    assert [share(num, [4, 4, 4]) for num in (1, 2, 3, 4, 6, 12)] == [4, 4, 4, 2, 2, 1]
    assert share(1, [64]) == on_ray.MOST_CORES
    with pytest.raises(InputError, match="--num-workers 13: the cluster has 12 cores on 3 machines now"):
        share(13, [4, 4, 4])


def test_more_workers_than_cores(cluster):
    with pytest.raises(InputError, match="--num-workers 3: the cluster has 2 cores"), engine("ray", num_workers=3):
        pass
    assert cluster.is_initialized()  # it was not ours


def test_no_cluster_at_the_address(monkeypatch):
    ray = pytest.importorskip("ray", reason="needs ray: pip install 'resnets[ray]'")
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    for address in (f"127.0.0.1:{free}", f"ray://127.0.0.1:{free}"):
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(InputError, match=f"no Ray cluster answers at {address} .*; start one there by `ray start --head`"):
            connect(ray)


def test_without_ray(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(InputError, match=r"ray is not installed: pip install 'resnets\[ray\]'"):
        engine("ray")


# --- what a group tells ---


def test_a_process_ends_when_what_it_told_is_on_the_board(cluster, tmp_path):
    """Not before: with it would end what is under way."""
    arrives = cluster.remote(work.arrive_late).remote
    board = SimpleNamespace(tell=SimpleNamespace(remote=lambda name, values: arrives(str(tmp_path), name, values)))
    assert on_ray.member(board, (worker.Driver(), work.telling)) == "done"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["say-first", "say-last"]


def test_what_is_told_last_is_heard():
    """Also where the group ends while the board is looked at."""
    pytest.importorskip("ray", reason="needs ray: pip install 'resnets[ray]'")
    told, heard, looked, threads = [], [], threading.Event(), []

    def fit():
        threads.append(threading.current_thread())
        looked.wait(60)
        told.append(("say", ("last",)))
        return SimpleNamespace(return_value="done")

    def take():
        found = told[:]
        if not looked.is_set():
            looked.set()
            threads[0].join()
        return found

    opened = engine("ray")
    opened.ray = SimpleNamespace(get=lambda found: found)
    board = SimpleNamespace(take=SimpleNamespace(remote=take))
    assert opened._fit(SimpleNamespace(fit=fit), board, lambda *words: heard.append(words)) == ("done", None)
    assert heard == [("say", "last")]
