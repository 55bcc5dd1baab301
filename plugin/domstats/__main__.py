"""``python -m domstats`` is the command ``domstats``."""

from __future__ import annotations

from .cli import main

main()
