"""A fleet of hosts and links that sends what the Go daemons send, with ground truth.

::

    payload -> delta -> bank --+
    trace --> link --+         +--> transfer --+
              host --+-------------------------+--> wire -> delivery -> fleet -> feed -> sink
              fault --^                                        |
                                                ceiling (what a perfect predictor would reach)

Everything random comes from one seed; nothing reads the clock, except that the bank
of measured payloads holds timings. Same seed, arguments and bank: the same bytes.
"""
