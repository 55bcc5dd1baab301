"""What domstats costs, measured: beside its peers, by number of domains, and at its start.

``python -m bench`` (``make bench``) runs ``compare`` and then ``scale``; ``python -m bench NAME``
runs one of them. Nothing here passes or fails: the figures are printed, and docs/performance.md
says what they mean.
"""
