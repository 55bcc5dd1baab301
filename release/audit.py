"""``make audit``: which known vulnerabilities there are in what the bundle has, by pip-audit.

    python -m release.audit PIP_AUDIT [--strict]

As part of `make test` it says what it finds, and what could not be looked up, and fails for
neither: the tests say whether a change is right, and a vulnerability that is published overnight is
no change. For a release (``--strict``) it fails for both: what is shipped was looked up, and is not
known to be vulnerable. The way out of a finding is `make pins`; what cannot be mended stands in
ACCEPTED.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from typing import Any

from . import bundle

#: The pins differ between these: the oldest Python, and the others.
PYTHONS = ("3.9", "3.13")
#: Findings that do not concern us: identifier, and why.
ACCEPTED: dict[str, str] = {}


def main(pip_audit: str, strict: bool) -> int:
    audited: dict[tuple[str, str], Any] = {}
    for python in PYTHONS:
        for each in _audited(pip_audit, bundle.requirements(python, platform.machine())):
            audited[each["name"], each.get("version") or each["skip_reason"]] = each
    found, unknown = [], []
    for (name, version), each in sorted(audited.items()):
        if "skip_reason" in each:
            unknown.append(version)
        for one in each.get("vulns", []):
            if one["id"] not in ACCEPTED:
                fixed = ", ".join(one["fix_versions"]) or "no version yet"
                found.append(f"{name} {version}: {one['id']}, mended in {fixed}")
    for text in found:
        print(f"audit: KNOWN VULNERABILITY in {text}")
    if unknown or not audited:
        why = f", such as: {unknown[0]}" if unknown else ""
        print(f"audit: NOT LOOKED UP: {len(unknown)} of {len(audited)} parts{why}")
    looked_up = len(audited) - len(unknown)
    print(f"audit: {looked_up} parts of the bundle looked up, {len(found)} known vulnerabilities")
    return int(strict and bool(found or unknown or not audited))


def _audited(pip_audit: str, requirements: str) -> list[dict[str, Any]]:
    """What pip-audit says of each package; nothing if it says nothing that can be read."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write(requirements)
        wanted.flush()
        command = [pip_audit, "--requirement", wanted.name, "--no-deps", "--disable-pip"]
        command += ["--format", "json", "--progress-spinner", "off", "--timeout", "10"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
            dependencies: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
        except (OSError, subprocess.TimeoutExpired, ValueError, KeyError) as error:
            print(f"audit: pip-audit did not answer: {error}")
            return []
    return dependencies


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], "--strict" in sys.argv[2:]))
