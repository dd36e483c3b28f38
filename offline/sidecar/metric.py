"""What a sidecar says of itself, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector


class Metrics:
    """Counters and gauges of one sidecar; labels are bounded."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        ProcessCollector(registry=r)
        self.records = Counter("dwcp_sidecar_records", "Records taken in", ["topic"], registry=r)
        self.rows = Counter("dwcp_sidecar_rows", "Rows written to data sets", registry=r)
        self.repeated = Counter("dwcp_sidecar_repeated", "Records left out because they came before", registry=r)
        self.rejected = Counter("dwcp_sidecar_rejected", "Records that did not decode", ["reason"], registry=r)
        self.expired = Counter("dwcp_sidecar_expired_hours", "Hours of data removed by age", registry=r)
        self.failures = Counter("dwcp_sidecar_failures", "Times that something failed", ["part"], registry=r)
        self.trainings = Counter("dwcp_sidecar_trainings", "Trainings that ended", ["model", "outcome"], registry=r)
        self.announcements = Counter("dwcp_sidecar_announcements", "Announcements made", ["model", "stage"], registry=r)
        self.buffered = Gauge("dwcp_sidecar_buffered_rows", "Rows that are in no file yet", registry=r)
        self.behind_s = Gauge("dwcp_sidecar_behind_seconds", "Age of the newest record that was read", registry=r)
        self.accuracy = Gauge("dwcp_sidecar_champion_accuracy", "Of the champion, in its last window", registry=r)
        table = ["table"]
        self.postgres_rows = Counter("dwcp_sidecar_postgres_rows", "Rows written to PostgreSQL", table, registry=r)
        self.postgres_repeated = Counter(
            "dwcp_sidecar_postgres_repeated", "Rows that PostgreSQL had already", table, registry=r
        )
        self.postgres_refused = Counter(
            "dwcp_sidecar_postgres_refused", "Rows that PostgreSQL would not take", table, registry=r
        )
        self.postgres_dropped = Counter(
            "dwcp_sidecar_postgres_dropped_partitions", "Months dropped by age", table, registry=r
        )
        self.postgres_failures = Counter(
            "dwcp_sidecar_postgres_failures", "Times that PostgreSQL was asked in vain", registry=r
        )
        self.postgres_gone = Counter(
            "dwcp_sidecar_postgres_gone_files", "Files removed by age before PostgreSQL had them", registry=r
        )
        self.postgres_waiting = Gauge(
            "dwcp_sidecar_postgres_waiting_files", "Files that PostgreSQL does not have yet", registry=r
        )
        self.committed = Gauge("dwcp_sidecar_committed_timestamp_seconds", "Time of the last checkpoint", registry=r)
