"""The folder and the namespaces that the bed lives in.

The folder is visible inside and outside under the same path; mounts made in it from outside appear
inside as well. A lock on it, which the kernel drops with its owner, tells a later bed whether the
owner still lives, and so which folders a killed one left behind.
"""

import fcntl
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.system.bed import cgroups, processes
from tests.system.waiting import wait_for

PREFIX = "domstats-bed-"
INIT = Path(__file__).with_name("init.py")


class Enclosure:
    """Namespaces with libvirtd in them, from construction until ``close``.

    ``init`` is process 1 of the namespaces, by the id it has outside.

    :param authentication: of libvirtd's socket for reading.
    """

    def __init__(self, authentication: str = "none") -> None:
        sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        # Another bed that begins just now sees the lock only when it is held.
        unseen = self.folder / "lock"
        self._lock = unseen.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unseen.rename(lock_of(self.folder))
        for name in ("sockets", "images", "storage"):
            (self.folder / name).mkdir()
        cgroups.make_partition(self.folder.name)
        _mount("--bind", str(self.folder), str(self.folder))
        _mount("--make-shared", str(self.folder))
        mounts = ("--mount", "--mount-proc", "--propagation", "slave")
        init = (sys.executable, "-I", str(INIT), str(self.folder), authentication)
        with (self.folder / "init.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", *mounts, "--pid", "--net", "--ipc", "--fork", "--kill-child", *init],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # the keyboard's interrupt is the tester's
            )
        self.init = wait_for("process 1 of the bed", self._first_process)[0]

    def _first_process(self) -> list[int]:
        if self._process.poll() is not None:
            raise RuntimeError(f"no namespaces for the bed: {self.log('init')}")
        return processes.children(self._process.pid)

    def log(self, name: str) -> str:
        """What libvirtd, virtlogd or init had to say so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def processes(self) -> Iterator[tuple[int, list[str]]]:
        """Every process inside, by the id it has outside, with its command line."""
        return processes.in_namespace_of(self.init)

    def command(self, word: str) -> None:
        """Have process 1 do something; see ``init.main``."""
        assert self._process.stdin is not None
        self._process.stdin.write(word.encode() + b"\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """End everything inside, in whatever state it is, and remove the folder."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        remove(self.folder)
        lock_of(self.folder).unlink()
        self._lock.close()


def lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + ".lock")


def sweep() -> None:
    """Remove what beds left behind whose owner was killed; their processes went with it."""
    for path in Path(tempfile.gettempdir()).glob(PREFIX + "*.lock"):
        try:
            lock = path.open("r+")
        except FileNotFoundError:
            continue  # its bed, or another that sweeps, has just removed it
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its owner lives
            remove(path.with_suffix(""))
            path.unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Remove the folder, with every mount in it, and its control groups."""
    cgroups.remove_partition(folder.name)
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mounted in reversed(mounts):
        if Path(mounted) == folder or folder in Path(mounted).parents:
            subprocess.run(["umount", "--lazy", mounted], check=True)
    shutil.rmtree(folder, ignore_errors=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)
