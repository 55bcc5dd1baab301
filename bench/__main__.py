"""``python -m bench [NAME [OPTION...]]``: one benchmark, or those that ``make bench`` is about."""

import importlib
import pkgutil
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
#: What runs when nothing is named.
USUAL = ("compare", "scale")


def main() -> None:
    sys.path[:0] = [str(FOLDER.parent), str(FOLDER.parent / "plugin")]
    named = sys.argv[1:2]
    if not named:
        for name in USUAL:
            importlib.import_module(f"bench.{name}").main([])
        return
    known = [each.name for each in pkgutil.iter_modules([str(FOLDER)]) if has_main(each.name)]
    if named[0] not in known:
        sys.exit(f"usage: python -m bench [{' | '.join(known)}] [--help]")
    importlib.import_module(f"bench.{named[0]}").main(sys.argv[2:])


def has_main(name: str) -> bool:
    """Whether a module here is a benchmark, and not a part of one."""
    return "\ndef main(arguments: " in (FOLDER / f"{name}.py").read_text()


if __name__ == "__main__":
    main()
