"""What `make audit` says of what pip-audit has found, and when that is a failure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from release import audit

VULNERABLE = {
    "name": "rich",
    "version": "12.0.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["12.0.1"], "aliases": [], "description": ""}],
}
WELL = {"name": "click", "version": "8.1.0", "vulns": []}
UNKNOWN = {"name": "lxml", "skip_reason": "lxml (6.0) was not found"}


@pytest.mark.parametrize(
    ("answer", "said", "strict"),
    [
        ([WELL], "audit: 1 parts of the bundle looked up, 0 known vulnerabilities", 0),
        ([VULNERABLE], "audit: KNOWN VULNERABILITY in rich 12.0.0: PYSEC-1, mended in 12.0.1", 1),
        ([WELL, UNKNOWN], "audit: NOT LOOKED UP: 1 of 2 parts, such as: lxml (6.0) was not", 1),
        (None, "audit: pip-audit did not answer", 1),
    ],
)
def test_only_a_release_fails_for_what_others_have_found_or_cannot_be_looked_up(
    answer: object, said: str, strict: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pip_audit = tmp_path / "pip-audit"
    text = "no network" if answer is None else json.dumps({"dependencies": answer, "fixes": []})
    pip_audit.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit 1\n")
    pip_audit.chmod(0o755)
    assert audit.main(str(pip_audit), strict=False) == 0
    assert said in capsys.readouterr().out
    assert audit.main(str(pip_audit), strict=True) == strict
