"""What is written to a store: in an order that a kill may end anywhere, without losing anything where the store is away."""

import logging
import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from resnets.draw.text import visible
from resnets.engine.run import RunDir, claiming
from resnets.errors import InputError
from resnets.files import write_text
from resnets.stores import claims, mirror, publish
from resnets.stores.publish import Publication, publishing, writing

RUN = "memory://bucket/run"


def there(store, folder="/bucket/run"):
    """The content of the store below a folder, without claims."""
    names = store.find(folder)
    return {name.removeprefix(f"{folder}/"): store.cat(name).decode() for name in names if not name.endswith(claims.NAME)}


@pytest.fixture
def steps(store, monkeypatch):
    """The order in which objects are written."""
    found, real = [], type(store).put_file
    put = lambda self, path, far, **more: (real(self, path, far, **more), found.append(far.rpartition("/")[2]))[0]  # noqa: E731
    monkeypatch.setattr(type(store), "put_file", put)
    return found


def begin(out, *names):
    """A run directory with these files."""
    run = RunDir.create(out, "classify")
    for name in names:
        write_text(run.path / name, f"first {name}")
    return run


@publishing
def export(model, out, *, text="x"):
    assert not isinstance(out, Path) or out.name == "x.onnx"
    if Path(out).exists():
        text += " again"
    write_text(out, text)
    write_text(Path(out).with_suffix(".bin"), text)
    return out


def test_files_are_sent_when_they_are_complete(store):
    path = export("model", "memory://bucket/new/x.onnx")
    assert isinstance(path, str) and there(store, "/bucket/new") == {"x.onnx": "x", "x.bin": "x"}
    export("model", out=Path("memory://bucket/new/x.onnx"), text="y")  # as locally, it is replaced
    assert there(store, "/bucket/new") == {"x.onnx": "y again", "x.bin": "y again"}
    with writing("memory://bucket/new/x.onnx", resume=False) as out:  # as a verb that refuses what is there already
        assert out.exists()
    assert there(store, "/bucket/new")["x.onnx"] == "y again"


def test_an_error_sends_what_there_is_and_stays_the_error(store):
    with pytest.raises(ZeroDivisionError), writing("memory://bucket/rows.csv", resume=False) as out:
        out.write_text("path,label\n")
        raise ZeroDivisionError
    assert there(store, "/bucket") == {"rows.csv": "path,label\n"}
    with writing("memory://bucket/rows.csv", resume=True) as out, out.open("a") as file:
        file.write("a.png,a\n")
    assert there(store, "/bucket") == {"rows.csv": "path,label\na.png,a\n"}


def test_a_run_grows_in_the_store_and_its_state_comes_last(store, steps, monkeypatch):
    monkeypatch.setattr(publish, "EVERY_SECONDS", 1e9)
    with claiming(), writing(RUN, resume=False) as out:
        run = begin(
            out, "recipe.yaml", "provenance.json", "resume.safetensors", "best.safetensors", "metrics.csv", ".half.1.csv"
        )
        publish.OPEN[out].send()
        assert steps == ["recipe.yaml", "best.safetensors", "metrics.csv", "provenance.json", "resume.safetensors"]
        assert there(store) == {name: f"first {name}" for name in steps}
        assert store.exists(f"/bucket/run/{claims.NAME}")
        write_text(run.path / "plots/curves.png", "drawn")
    assert there(store)["plots/curves.png"] == "drawn" and not store.exists(f"/bucket/run/{claims.NAME}")


def test_a_kill_at_any_moment_leaves_no_state_ahead_of_its_files(store, monkeypatch):
    """Epochs are written while others are sent; what is in the store after each object could be gone on with."""
    seen, real = [], type(store).put_file

    def put(self, path, far, **more):
        real(self, path, far, **more)
        seen.append(there(store))

    monkeypatch.setattr(type(store), "put_file", put)
    with claiming(), writing(RUN, resume=False) as out:
        run = begin(out, "recipe.yaml")
        for epoch in range(1, 31):
            for name in ("metrics.csv", "best.safetensors", "resume.safetensors"):
                write_text(run.path / name, str(epoch))
                time.sleep(0.001)
    assert len(seen) > 10 and seen[-1]["resume.safetensors"] == "30"
    for found in seen:
        state = int(found.get("resume.safetensors", 0))
        assert all(int(found.get(name, 0)) >= state for name in ("metrics.csv", "best.safetensors")) and "recipe.yaml" in found


def test_what_is_there_is_not_written_over(store):
    store.pipe("/bucket/run/recipe.yaml", b"of another")
    with (
        claiming(),
        pytest.raises(InputError, match=rf"{RUN}: exists and is not empty; go on with it by --resume, or choose"),
        writing(RUN, resume=False) as out,
    ):
        RunDir.create(out, "classify")
    assert there(store) == {"recipe.yaml": "of another"} and not store.exists(f"/bucket/run/{claims.NAME}")


def test_a_machine_that_has_nothing_goes_on_with_what_is_there(store):
    with claiming(), writing(RUN, resume=False) as out:
        begin(out, "recipe.yaml", "resume.safetensors")
    shutil.rmtree(mirror.cache_folder())
    with claiming(), writing(RUN, resume=True) as out:
        run = RunDir(out)
        run.claim()
        assert run.recipe.read_text() == "first recipe.yaml" and run.resume_tensors.exists()
        write_text(run.last, "done")
    assert there(store)["last.safetensors"] == "done"


def away(monkeypatch, store):
    """The store is away, until `monkeypatch.undo`."""
    with monkeypatch.context() as still:
        for name in ("put_file", "pipe_file", "cat_file", "info", "ls"):
            still.setattr(
                type(store), name, lambda *words, **more: (_ for _ in ()).throw(ConnectionError("network is unreachable"))
            )
        yield


def test_a_store_that_is_away_costs_a_warning_and_nothing_of_the_run(store, monkeypatch, caplog):
    monkeypatch.setattr(publish, "ATTEMPTS", 1)
    caplog.set_level(logging.INFO, "resnets.stores")
    with (
        claiming(),
        pytest.raises(
            InputError, match=r"cannot be written \(network is unreachable\).*; all of it is in .*/stores/\w+; send it"
        ),
        writing(RUN, resume=False) as out,
    ):
        run = begin(out, "recipe.yaml")
        while not there(store):
            time.sleep(0.01)
        gone = away(monkeypatch, store)
        next(gone)
        write_text(run.resume_tensors, "state")
        while not caplog.records:
            time.sleep(0.01)
        assert "which is tried again; the run goes on in" in caplog.text
    next(gone, None)
    assert (
        there(store) == {"recipe.yaml": "first recipe.yaml"}
        and len([r for r in caplog.records if r.levelname == "WARNING"]) == 1
    )
    with (
        pytest.raises(
            InputError, match=r"holds a run that may not be at memory://bucket/run as a whole; send it and go on by --resume"
        ),
        writing(RUN, resume=False),
    ):
        pass
    with claiming(), writing(RUN, resume=True) as out:
        assert RunDir(out).resume_tensors.read_text() == "state"
        RunDir(out).claim()
    assert there(store)["resume.safetensors"] == "state"


def test_a_run_that_is_not_claimed_is_not_sent(store, monkeypatch):
    """A command that fails before it goes on with the run, or cannot see what is there, leaves the store as it is."""
    with claiming(), writing(RUN, resume=False) as out:
        begin(out, "recipe.yaml", "resume.safetensors")
    write_text(out / "resume.safetensors", "here, and not sent")
    publish.Mirror(RUN).unsent.touch()
    with pytest.raises(InputError, match="lr was"), writing(RUN, resume=True):
        raise InputError("lr was 0.1")
    with pytest.raises(InputError, match="holds a run that may not be"), writing(RUN, resume=False):
        pass
    gone = away(monkeypatch, store)
    next(gone)
    with pytest.raises(InputError, match="cannot be read"), writing(RUN, resume=True):
        pass
    next(gone, None)
    assert there(store)["resume.safetensors"] == "first resume.safetensors" and publish.Mirror(RUN).unsent.exists()


def test_what_is_removed_here_is_removed_there_and_a_cleared_cache_is_not(store):
    with claiming(), writing(RUN, resume=False) as out:
        run = begin(out, "recipe.yaml", "metrics.csv", "a.txt")
        while len(there(store)) < 3:
            time.sleep(0.01)
        (run.path / "a.txt").unlink()
    assert set(there(store)) == {"recipe.yaml", "metrics.csv"}
    with suppress(InputError), claiming(), writing(RUN, resume=True) as out:
        RunDir(out).claim()
        shutil.rmtree(mirror.cache_folder(), ignore_errors=True)
    assert set(there(store)) == {"recipe.yaml", "metrics.csv"}


def test_what_another_machine_has_done_since_counts(store):
    with claiming(), writing(RUN, resume=False) as out:
        begin(out, "recipe.yaml", "resume.safetensors")
    write_text(out / "resume.safetensors", "here, never sent")
    write_text(out / "last.safetensors", "here, never sent")
    store.pipe("/bucket/run/resume.safetensors", b"farther")
    with claiming(), writing(RUN, resume=True) as out:
        assert RunDir(out).resume_tensors.read_text() == "farther" and not RunDir(out).last.exists()


# --- claims ---


def test_two_processes_do_not_train_in_one_run(store, monkeypatch):
    first = claims.Claim(RUN)
    monkeypatch.setattr(claims, "machine", lambda: "another")
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.0)
    stop = threading.Event()
    thread = threading.Thread(target=lambda: [first.beat() for _ in iter(lambda: stop.wait(0.02), True)])
    thread.start()
    with pytest.raises(InputError, match=rf"{RUN}: process {os.getpid()} on .* trains in it now; wait until that has ended"):
        claims.Claim(RUN)
    stop.set()
    thread.join()
    second = claims.Claim(RUN)  # it has not changed for as long as a claim lasts
    with pytest.raises(claims.Lost):
        first.beat()
    first.release()  # not its own any more
    second.beat()
    second.release()
    assert not store.exists(f"/bucket/run/{claims.NAME}")


def test_the_claim_of_a_process_that_was_killed_here_is_taken_at_once(store, monkeypatch):
    monkeypatch.setattr(claims, "LEASE_SECONDS", 1e9)
    monkeypatch.setattr(claims.os, "getpid", lambda: 2**30)
    claims.Claim(RUN)
    monkeypatch.undo()
    assert claims.is_dead({"process": 2**30, "machine": claims.machine()}) and not claims.is_dead(
        {"process": "x", "machine": 3}
    )


def test_a_run_whose_claim_was_taken_writes_nothing_more(store, caplog):
    with (
        claiming(),
        pytest.raises(InputError, match="another process has taken it over; look which of the two is to stay"),
        writing(RUN, resume=False) as out,
    ):
        run = begin(out, "recipe.yaml")
        while not there(store):
            time.sleep(0.01)
        store.pipe(f"/bucket/run/{claims.NAME}", b'{"token": "another"}')
        while not caplog.records:
            time.sleep(0.01)
        write_text(run.resume_tensors, "state")
    assert there(store) == {"recipe.yaml": "first recipe.yaml"} and run.resume_tensors.read_text() == "state"


def test_two_processes_of_a_machine_do_not_write_to_one_copy(store):
    with (
        writing(RUN, resume=False),
        pytest.raises(InputError, match="another process writes to it now"),
        writing(RUN, resume=True),
    ):
        pass


def test_only_the_first_of_several_processes_writes(store, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with writing(RUN, resume=False) as out:
        assert out == Publication(mirror.Mirror(RUN)).copy.path and not out.exists()


# --- what is there, and what lies beside ---


def test_what_is_in_a_folder_there_is_seen_by_its_name(store):
    """So verbs refuse it, or replace it, as a folder on the disk."""
    for name in ("manifest.json", "part-0.parquet", "a/b/c.txt"):
        store.pipe(f"/bucket/rows/{name}", name.encode())
    with writing("memory://bucket/rows", resume=False) as out:
        assert sorted(path.name for path in out.iterdir()) == ["a", "manifest.json", "part-0.parquet"]
        (out / "manifest.json").write_text("new")
        (out / "part-0.parquet").unlink()
    assert there(store, "/bucket/rows") == {"manifest.json": "new", "a/b/c.txt": "a/b/c.txt"}
    assert mirror.local("memory://bucket/rows/a/b/c.txt").read_text() == "a/b/c.txt"
    assert (mirror.local("memory://bucket/rows") / "a/b/c.txt").read_text() == "a/b/c.txt"


def test_what_lies_beside_a_file_is_there_to_go_on_with(store):
    """As vectors that are not finished, after an error and after a kill."""
    with suppress(InputError), writing("memory://bucket/v.npz", resume=False) as out:
        write_text(out.with_name("v.npz.part") / "rows.jsonl", "1")
        raise InputError("broken")
    with writing("memory://bucket/v.npz", resume=True) as out:
        beside = out.with_name("v.npz.part")
        assert (beside / "rows.jsonl").read_text() == "1"
        write_text(out, "done")
        shutil.rmtree(beside)
    assert there(store, "/bucket") == {"v.npz": "done"}


def test_hidden_folders_are_not_sent(store):
    with writing("memory://bucket/run", resume=False) as out:
        write_text(out.with_name(".run.ray") / "try0/records.json", "of the engine")
        write_text(out / "a.txt", "a")
        assert publish.OPEN[out].changed() == ["run/a.txt"]
    assert there(store, "/bucket") == {"run/a.txt": "a"}


def test_messages_name_the_copy_on_the_disk_where_they_mean_it(store, monkeypatch):
    monkeypatch.setattr(publish, "ATTEMPTS", 1)
    gone = None
    with pytest.raises(InputError) as found, writing("memory://bucket/x.txt", resume=False) as out:
        write_text(out, "x")
        gone = away(monkeypatch, store)
        next(gone)
    next(gone, None)
    home = publish.Mirror("memory://bucket/x.txt").home
    assert f"all of it is in {home}" in visible(str(found.value)) and (home / "files/x.txt").read_text() == "x"
    assert visible(f"rows written to {out}") == "rows written to memory://bucket/x.txt"


def test_a_run_that_is_written_here_is_not_replaced_by_what_was_sent_of_it(store, monkeypatch):
    """Where it is read by its address meanwhile, or after it could not be sent."""
    monkeypatch.setattr(publish, "EVERY_SECONDS", 1e9)
    monkeypatch.setattr(publish, "ATTEMPTS", 1)
    gone = None
    with suppress(InputError), claiming(), writing(RUN, resume=False) as out:
        run = begin(out, "recipe.yaml", "best.safetensors")
        publish.OPEN[out].send()
        write_text(run.best, "better")
        assert (mirror.local(RUN) / "best.safetensors").read_text() == "better"
        gone = away(monkeypatch, store)
        next(gone)
    next(gone, None)
    assert there(store)["best.safetensors"] == "first best.safetensors"
    assert (mirror.local(RUN) / "best.safetensors").read_text() == "better"
    store.rm(f"/bucket/run/{claims.NAME}")  # as another machine does that has gone on with it
    assert (mirror.local(RUN) / "best.safetensors").read_text() == "first best.safetensors"
