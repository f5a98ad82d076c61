"""What the keeper tells Prometheus: read from the volume at each scrape, never a secret."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from token_keeper.errors import TokenKeeperError
from token_keeper.status import Status

_CONDITIONS = ("Ready", "Refreshing", "ReauthRequired")


class VolumeCollector(Collector):
    """Looks at the volume when it is asked for metrics.

    Args:
        look: takes a look at the volume.
        last_success: Unix time of the keeper's last look without a fault, ``None`` before the first.
        is_active: whether this keeper is the active one.
    """

    def __init__(
        self, look: Callable[[], Status], last_success: Callable[[], float | None], is_active: Callable[[], bool]
    ) -> None:
        self._look = look
        self._last_success = last_success
        self._is_active = is_active

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics; where the volume can't be looked at, only those that need no look."""
        yield _gauge("active", "1 if this keeper is the active one of its volume", float(self._is_active()))
        last_success = self._last_success()
        if last_success is not None:
            yield _gauge("last_success_timestamp_seconds", "When the keeper last found or made all well", last_success)
        try:
            status = self._look()
        except TokenKeeperError:
            yield _gauge("volume_up", "1 if the volume can be looked at", 0.0)
            return
        yield _gauge("volume_up", "1 if the volume can be looked at", 1.0)
        yield from _of(status)


class SeveralCollector(Collector):
    """The metrics of several documents, each labelled with its ``document``.

    Args:
        collectors: by the documents' paths.
    """

    def __init__(self, collectors: Mapping[str, VolumeCollector]) -> None:
        self._collectors = collectors

    def collect(self) -> Iterable[Metric]:
        """Yield each metric once, with the samples of all documents."""
        found: dict[str, Metric] = {}
        for document, collector in self._collectors.items():
            for metric in collector.collect():
                whole = found.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
                whole.samples += [
                    sample._replace(labels={"document": document, **sample.labels}) for sample in metric.samples
                ]
        yield from found.values()


def registry_of(collector: Collector) -> CollectorRegistry:
    """Return a registry with nothing else in it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return registry


def _of(status: Status) -> Iterable[Metric]:
    yield _gauge("healthy", "1 if consumers can work", float(status.healthy))
    yield _gauge("generation", "Generation of the token document", float(status.generation))
    yield _gauge("failures_in_a_row", "Exchanges that failed since the last one that did not", float(status.failures))
    exchanges = CounterMetricFamily("token_keeper_exchanges", "Exchanges that brought a token, by any writer")
    exchanges.add_metric([], float(status.exchanges))
    yield exchanges
    expiry = status.document.get("expiry")
    if expiry:
        yield _gauge("access_token_expiry_timestamp_seconds", "When the access token ends", _unix(expiry))
    if status.clock_skew is not None:
        yield _gauge("clock_skew_seconds", "The provider's clock less this host's", status.clock_skew)
    deadlines = GaugeMetricFamily(
        "token_keeper_grant_deadline_timestamp_seconds", "When the grant will die by itself", labels=["reason"]
    )
    for deadline in status.deadlines:
        deadlines.add_metric([deadline["reason"]], _unix(deadline["at"]))
    yield deadlines
    conditions = GaugeMetricFamily("token_keeper_condition", "1 if the condition is true", labels=["type", "reason"])
    found = {condition["type"]: condition for condition in status.conditions}
    for name in _CONDITIONS:
        condition: dict[str, Any] = found.get(name, {"status": "Unknown", "reason": "NotYetKnown"})
        conditions.add_metric([name, condition["reason"]], float(condition["status"] == "True"))
    yield conditions


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"token_keeper_{name}", text, value=value)


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
