"""A place of the bed's own among the machine's control groups, which count guests' CPU time.

Without one libvirtd would put the guests where those of the hypervisor's real libvirtd are.
"""

from collections.abc import Iterator
from pathlib import Path

SUFFIX = ".partition"  # libvirt adds it to a partition's name
COUNTING_CPU = {"cpu", "cpuacct"}


def hierarchies() -> Iterator[Path]:
    """Where the hierarchies are mounted that libvirt takes CPU statistics from."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        if kind == "cgroup2" or (kind == "cgroup" and COUNTING_CPU & set(options.split(","))):
            yield Path(point)


def make_partition(name: str) -> None:
    """Make the partition ``name`` in each hierarchy; where it may not, guests have none at all."""
    try:
        for hierarchy in hierarchies():
            (hierarchy / (name + SUFFIX)).mkdir()
    except OSError:
        remove_partition(name)


def has_partition(name: str) -> bool:
    return any((hierarchy / (name + SUFFIX)).exists() for hierarchy in hierarchies())


def remove_partition(name: str) -> None:
    """Remove the partition and everything below it, which must have no processes any more."""
    for hierarchy in hierarchies():
        remove_below(hierarchy / (name + SUFFIX))


def remove_below(top: Path) -> None:
    """Remove a group and all in it, likewise."""
    for group in [*sorted(top.glob("**/"), reverse=True)]:
        group.rmdir()
