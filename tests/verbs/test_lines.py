"""Who watches a run in text."""

from types import SimpleNamespace

from resnets.verbs import lines


def test_a_long_epoch_says_once_a_minute_how_far_it_is(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(lines.time, "perf_counter", lambda: now[0])
    watching = lines.Lines()
    for step in range(0, 50, 10):  # a step takes 2.5 s
        now[0] = 2.5 * step
        watching.step(SimpleNamespace(epoch=0, step=step, total_steps=55), 55, 1.25)
    assert capsys.readouterr().err.splitlines() == ["epoch 1  step 30/55  loss 1.2500  0.4 steps/s"]
    now[0] += 61
    watching.say("a line")
    watching.step(SimpleNamespace(epoch=0, step=50, total_steps=55), 55, 1.25)
    assert capsys.readouterr().err.splitlines() == ["a line"]
