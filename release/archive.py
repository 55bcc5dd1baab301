"""Archives of which the bytes depend on what is in them, and on nothing else."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path


def tar_bytes(folder: Path, name: str, epoch: int) -> bytes:
    """A folder as a tar file, under a name: sorted, of nobody's, as old as ``epoch`` says."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in [folder, *sorted(folder.rglob("*"))]:
            inner = Path(name, path.relative_to(folder)).as_posix()
            member = archive.gettarinfo(str(path), inner)
            member.mode = 0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = epoch
            if member.isfile():
                archive.addfile(member, io.BytesIO(path.read_bytes()))
            else:
                archive.addfile(member)
    return made.getvalue()


def gzipped(content: bytes) -> bytes:
    """The same bytes for the same content: without name and time in the head."""
    return gzip.compress(content, 9, mtime=0)
