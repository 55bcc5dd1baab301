"""libvirt's Python binding, where there is one: nobody else imports it."""

from __future__ import annotations

from typing import Optional

#: Why there is none.
absence: Optional[ImportError] = None

try:
    import libvirt
except ImportError as error:  # logged by who wants to sample, in one line
    libvirt, absence = None, error

__all__ = ["absence", "libvirt"]
