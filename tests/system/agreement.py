"""Whether two agents' plugins, asked about the same guests at the same time, tell the same.

The value of ours has to lie between the neighbouring samples of the other: the last that was
certainly taken before it, and the first that was certainly taken after it. For what does not
change this means equal. Nothing here knows an agent.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

#: Seconds. A round of ours is over so long after its timestamp, which is that of its begin, and so
#: are those of the other that it met: on a busy machine each may take its second.
ROUND = 2.0


class At(NamedTuple):
    """A value, and when it was told."""

    time: float
    value: Any


def differences(
    ours: Mapping[Any, Sequence[At]],
    theirs: Mapping[Any, Sequence[At]],
    slack: Mapping[Any, float],
) -> list[str]:
    """What is not the same, in words: a line for each series.

    :param slack: by series, how far ours may lie beyond the neighbours.
    """
    found = [f"{name}: only ours has it" for name in sorted(set(ours) - set(theirs), key=str)]
    found += [f"{name}: ours lacks it" for name in sorted(set(theirs) - set(ours), key=str)]
    compared = 0
    for name in sorted(set(ours) & set(theirs), key=str):
        for at in ours[name]:
            before = [other.value for other in theirs[name] if other.time <= at.time]
            after = [other.value for other in theirs[name] if other.time >= at.time + ROUND]
            if not before or not after:
                continue
            compared += 1
            neighbours = (before[-1], after[0])
            if not _between(at.value, neighbours, slack.get(name, 0)):
                found.append(f"{name}: ours {at.value!r}, theirs {neighbours}")
                break
    if not compared:
        found.append("nothing could be compared")
    return found


def _between(value: Any, neighbours: tuple[Any, Any], slack: float) -> bool:
    if isinstance(value, (str, bool)):
        return value in neighbours
    return bool(min(neighbours) - slack <= value <= max(neighbours) + slack)
