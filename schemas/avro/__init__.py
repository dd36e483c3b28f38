"""Avro: the schema of each topic, derived from its record; framing, reading and writing.

The `.avsc` files beside this module are what producers and consumers take; `history/`
holds the shape of every version ever published, one per line.
"""
