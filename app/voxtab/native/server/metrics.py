"""What Prometheus reads at GET /metrics."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest


class Metrics:
    """One server's figures."""

    def __init__(self):
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        # outcome: done, gone (its client left), failed, refused (no place in the queue, or the server is ending)
        self.streams = Counter(
            "voxtab_streams",
            "Streams, by how they came and how they ended",
            ("kind", "outcome"),
            registry=self._registry,
        )
        for kind in ("file", "live"):
            for outcome in ("done", "gone", "failed", "refused"):
                self.streams.labels(kind, outcome)  # so that it is there, with 0, from the beginning
        self.audio_seconds = Counter("voxtab_audio_seconds", "Audio transcribed", registry=self._registry)
        self.busy_seconds = Counter(
            "voxtab_busy_seconds", "Time in which a stream had the model", registry=self._registry
        )
        self.queue_seconds = Histogram(
            "voxtab_queue_seconds",
            "Time from asking for the model to having it",
            buckets=(0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800),
            registry=self._registry,
        )

    def watch(self, name: str, what: str, value: Callable[[], float]) -> None:
        """A figure that is read when it is asked for."""
        Gauge(name, what, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        return generate_latest(self._registry)
