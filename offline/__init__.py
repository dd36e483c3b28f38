"""The batch sidecar: everything that runs beside the stream, never inside it.

The fleet simulator, datasets, training, gates and the model store. May import every
room but `agents`.
"""
