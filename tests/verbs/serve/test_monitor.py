"""Metrics for Prometheus, and the watch over answers that drift away from those to validation."""

import logging

from prometheus_client.parser import text_string_to_metric_families

from resnets.models.answering import Noted
from resnets.verbs.serve import monitor
from tests.verbs.serve.made import encoded, form, serving


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_of_requests_pictures_batches_and_answers(saved):
    with serving({"tiny": saved}) as server:
        body, headers = form(("a", encoded(1)), ("b", b"none"))
        row = server.ask("POST", "/predict", body, headers).json["rows"][0]
        server.ask("POST", "/predict", b"")
        server.ask("GET", "/v2/health/ready")
        answer = server.ask("GET", "/metrics")
    found, model = samples(answer.body.decode()), ("model", "tiny")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert found["resnets_requests_total", ("route", "/predict"), ("status", "200")] == 1
    assert found["resnets_requests_total", ("route", "/predict"), ("status", "400")] == 1
    assert found["resnets_request_seconds_count", ("route", "/predict")] == 2
    assert found["resnets_refused_total", ("reason", "wrong")] == 1
    assert found["resnets_pictures_total", model, ("outcome", "answered")] == 1
    assert found["resnets_pictures_total", model, ("outcome", "unreadable")] == 1
    assert found["resnets_answers_total", ("answer", row["answer"]), model] == 1
    assert found["resnets_batch_pictures_sum", model] == 2 and found["resnets_queue_seconds_count", model] == 2
    assert found["resnets_queue_pictures", model] == found["resnets_body_bytes",] == 0


def watch(expected):
    own = monitor.Monitor()
    return own, monitor.Watch("m", own, lambda: expected)


def note(watch, label, score, num):
    for _ in range(num):
        watch.note(Noted([label], [score], [label]))


EXPECTED = {"classes": {"cat": 500, "dog": 500, "": 0}, "scores": [0] * 9 + [1000]}


def test_drift_is_told_once_when_it_begins_and_once_when_it_ends(caplog):
    own, seen = watch(EXPECTED)
    with caplog.at_level(logging.WARNING, "resnets.serve"):
        note(seen, "cat", 0.95, 200)
        note(seen, "dog", 0.95, 200)
        assert samples(own.told().decode())["resnets_drift_warning", ("model", "m"), ("of", "classes")] == 0
        note(seen, "cat", 0.95, 600)
        assert samples(own.told().decode())["resnets_drift_psi", ("model", "m"), ("of", "classes")] > 0.25
        note(seen, "cat", 0.95, 300)
        note(seen, "dog", 0.95, 500)
    begins, ends = [record.message for record in caplog.records if "classes" in record.message][-2:]
    assert "drift away" in begins and "again" in ends
    assert not seen.drifts["classes"].warn and not seen.drifts["scores"].warn


def test_scores_drift_though_the_classes_do_not():
    _, seen = watch(EXPECTED)
    note(seen, "cat", 0.35, 500)
    note(seen, "dog", 0.35, 500)
    assert seen.drifts["scores"].warn and not seen.drifts["classes"].warn


def test_nothing_is_compared_where_validation_is_not_known_or_the_file_is_new():
    own, seen = watch(None)
    note(seen, "cat", 0.9, 300)
    assert not seen.drifts and b"resnets_drift_psi{" not in own.told()
    own, seen = watch(EXPECTED)
    note(seen, "cat", 0.9, 300)
    assert seen.drifts
    seen.forget()
    assert not seen.drifts and not seen.newest and b"resnets_drift_psi{" not in own.told()


def test_names_of_answers_are_bounded(monkeypatch):
    monkeypatch.setattr(monitor, "MAX_NAMES", 2)
    own, seen = watch(None)
    for name in "abcd":
        note(seen, name, 0.5, 1)
    found = samples(own.told().decode())
    assert {key[1][1] for key in found if key[0] == "resnets_answers_total"} == {"a", "b", monitor.OTHERS}
