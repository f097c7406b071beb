"""What a server tells of itself: metrics for Prometheus, and whether answers drift away from those to validation.

Answers are counted over the newest `WINDOW` pictures; pictures themselves are never kept, nor told.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client import Counter as Total

from resnets.measures import drift
from resnets.models.answering import Noted
from resnets.models.records import AnswersRecord
from resnets.verbs.serve.batching import Timing

log = logging.getLogger("resnets.serve")
WINDOW = 1000  # pictures
LOOK_EVERY = 100  # pictures
MAX_NAMES = 1000  # answers that are told apart in the metrics
OTHERS = "others"
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Monitor:
    """The metrics of a server."""

    def __init__(self) -> None:
        disable_created_metrics()  # when each series began: half of all lines
        self.registry = registry = CollectorRegistry()

        def total(name: str, words: str, *labels: str) -> Total:
            return Total(f"resnets_{name}", words, labels, registry=registry)

        def histogram(name: str, words: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"resnets_{name}", words, labels, buckets=buckets, registry=registry)

        def gauge(name: str, words: str, *labels: str) -> Gauge:
            return Gauge(f"resnets_{name}", words, labels, registry=registry)

        self.requests = total("requests", "Requests by route and HTTP status.", "route", "status")
        self.request_s = histogram("request_seconds", "From a request's headers to its answer.", "route", buckets=SECONDS)
        self.refused = total("refused", "Requests that were refused, by the reason.", "reason")
        self.pictures = total("pictures", "Pictures by what came of them: answered, unreadable or failed.", "model", "outcome")
        self.answers = total("answers", "What was answered: classes, unsure, unknown.", "model", "answer")
        self.batch_size = histogram("batch_pictures", "Pictures in a batch.", "model", buckets=SIZES)
        self.waited_s = histogram("queue_seconds", "How long a picture waited for its batch.", "model", buckets=SECONDS)
        self.batch_s = histogram("batch_seconds", "How long a batch was decoded and predicted.", "model", buckets=SECONDS)
        self.waiting = gauge("queue_pictures", "Pictures that wait now.", "model")
        self.held = gauge("body_bytes", "Bytes of requests in memory now.")
        self.loaded = gauge("model_loaded_timestamp_seconds", "When the model's file was opened.", "model")
        self.reloads = gauge("model_reloads", "Changed files that were opened, and that could not be.", "model", "outcome")
        self.psi = gauge(
            "drift_psi", f"Population stability index of the newest {WINDOW} pictures beside validation.", "model", "of"
        )
        self.warning = gauge("drift_warning", "1: answers drift away from those to validation.", "model", "of")

    def told(self) -> bytes:
        """All of it as Prometheus reads it."""
        return generate_latest(self.registry)


class Watch:
    """The answers of one model.

    Args:
        expected: the answers to validation, of the file that answers now; None: not known.
    """

    def __init__(self, name: str, monitor: Monitor, expected: Callable[[], AnswersRecord | None]) -> None:
        self.name, self.monitor, self.expected = name, monitor, expected
        self.newest: deque[Noted] = deque(maxlen=WINDOW)
        self.since = 0  # pictures since the last look
        self.names: set[str] = set()
        self.drifts: dict[str, drift.Drift] = {}

    def timed(self, timing: Timing) -> None:
        self.monitor.batch_size.labels(self.name).observe(timing.size)
        self.monitor.batch_s.labels(self.name).observe(timing.took_s)
        for seconds in timing.waited_s:
            self.monitor.waited_s.labels(self.name).observe(seconds)

    def count(self, outcome: str, num: int = 1) -> None:
        self.monitor.pictures.labels(self.name, outcome).inc(num)

    def note(self, noted: Noted) -> None:
        """Count an answer."""
        self.count("answered")
        for said in noted.said:
            if len(self.names) < MAX_NAMES:
                self.names.add(said)
            self.monitor.answers.labels(self.name, said if said in self.names else OTHERS).inc()
        self.newest.append(noted)
        self.since += 1
        if self.since >= LOOK_EVERY:
            self.look()

    def forget(self) -> None:
        """Begin anew, with another file."""
        self.newest.clear()
        self.since = 0
        self._tell({})

    def look(self) -> None:
        """Compare the newest answers with those to validation; what changes for the worse or better is logged."""
        self.since = 0
        if (record := self.expected()) is None:
            return
        labels = Counter(label for noted in self.newest for label in noted.labels)
        scores = drift.score_bins([score for noted in self.newest for score in noted.scores])
        found = {
            "classes": drift.compare(list(record["classes"].values()), drift.in_classes(labels, record["classes"])),
            "scores": drift.compare(record["scores"], scores),
        }
        self._tell({of: each for of, each in found.items() if each is not None})

    def _tell(self, found: dict[str, drift.Drift]) -> None:
        for of, each in found.items():
            self.monitor.psi.labels(self.name, of).set(each.psi)
            self.monitor.warning.labels(self.name, of).set(each.warn)
            before = of in self.drifts and self.drifts[of].warn
            if each.warn and not before:
                words = "model %s: the %s of its answers drift away from those to validation (PSI %.2f over %d pictures)"
                log.warning(words, self.name, of, each.psi, len(self.newest))
            elif before and not each.warn:
                log.warning("model %s: the %s of its answers are as on validation again (PSI %.2f)", self.name, of, each.psi)
        for of in self.drifts.keys() - found.keys():
            self.monitor.psi.remove(self.name, of)
            self.monitor.warning.remove(self.name, of)
        self.drifts = found
