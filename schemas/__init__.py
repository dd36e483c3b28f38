"""The contract: what crosses the topics.

Record types with units and ranges, the topic table, the JSON codec between
bytes and columns, the ingest rules and the error tree. Imports nothing of ours.
"""
