"""How Faust is configured: everything on purpose, nothing from its own environment variables."""

from __future__ import annotations

from typing import Any

import faust
from faust.auth import Credentials
from yarl import URL

from streams.log import logging_config
from streams.security import tls_context, web_tls_context
from streams.settings import Settings
from streams.web.guard import MAX_BODY_BYTES
from streams.worker import Worker


def faust_settings(settings: Settings) -> dict[str, Any]:
    """Arguments of `faust.App`."""
    return {
        # Faust lets its own environment variables win over arguments; ours are the only ones.
        "env": {},
        "broker": [URL(f"dwcp://{address}") for address in settings.brokers],
        "broker_credentials": _credentials(settings),
        "Worker": Worker,
        "autodiscover": False,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "consumer_auto_offset_reset": "earliest",
        "consumer_group_instance_id": settings.instance_id or None,
        "consumer_max_fetch_size": settings.fetch_max_bytes,
        "broker_max_poll_records": settings.batch_max_records,
        "broker_session_timeout": settings.session_timeout_s,
        "broker_heartbeat_interval": settings.heartbeat_s,
        "broker_request_timeout": max(40.0, settings.session_timeout_s + 5),
        "broker_commit_interval": settings.commit_interval_s,
        "stream_buffer_maxsize": settings.buffer_batches,
        "stream_wait_empty": True,
        "stream_publish_on_commit": False,
        "logging_config": logging_config(settings),
        "web_bind": settings.web_host,
        "web_host": settings.web_host,
        "web_port": settings.web_port,
        "web_application_options": {"client_max_size": MAX_BODY_BYTES},
        "web_ssl_context": web_tls_context(settings),
        "web_tables_enabled": False,
        "web_router_enabled": False,
        "web_graph_enabled": False,
        "web_stats_enabled": False,
    }


def _credentials(settings: Settings) -> Credentials | None:
    protocol = settings.kafka_security_protocol
    context = tls_context(settings) if protocol.endswith("ssl") else None
    if protocol.startswith("sasl"):
        return faust.SASLCredentials(
            username=settings.kafka_sasl_username,
            password=settings.kafka_sasl_password,
            mechanism=settings.kafka_sasl_mechanism.upper(),
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None
