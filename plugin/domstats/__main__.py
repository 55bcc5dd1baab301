"""``python -m domstats`` is the command ``domstats``."""

from __future__ import annotations

from .cli.main import main

main()
