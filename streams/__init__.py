"""The runtime: everything that knows Faust and Kafka.

Settings, the record-batch transport and its publisher, the one guarded loop that
every agent runs in, topics, metrics, health and the embedded broker.
"""
