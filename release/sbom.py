"""What the bundle consists of, as a CycloneDX document: names, versions, licences, hashes.

It says what is in the wheels and nothing that depends on when or where it was made.
"""

from __future__ import annotations

import hashlib
import json
import uuid
import zipfile
from collections.abc import Sequence
from datetime import datetime, timezone
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

#: What classifiers call licences, and SPDX.
SPDX = {
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: Python Software Foundation License": "PSF-2.0",
}
#: Outside the bundle, but needed: it comes with the system.
OF_THE_SYSTEM = {
    "type": "library",
    "name": "libvirt-python",
    "bom-ref": "pkg:pypi/libvirt-python",
    "purl": "pkg:pypi/libvirt-python",
    "scope": "excluded",
    "description": "libvirt's Python binding, taken from the system; not in the bundle",
    "licenses": [{"license": {"id": "LGPL-2.1-or-later"}}],
}


def of_wheels(wheels: Sequence[Path], epoch: int) -> bytes:
    """The document.

    :param wheels: domstats's own among them.
    :param epoch: the date that it bears, in seconds since 1970.
    """
    components = [_component(wheel) for wheel in wheels]
    (own,) = [each for each in components if each["name"] == "domstats"]
    others = [each for each in components if each is not own]
    content = "".join(each["hashes"][0]["content"] for each in components)
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, content)}",
        "version": 1,
        "metadata": {
            "timestamp": f"{datetime.fromtimestamp(epoch, timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
            "component": {**own, "type": "application"},
        },
        "components": [*others, OF_THE_SYSTEM],
        "dependencies": [
            {
                "ref": own["bom-ref"],
                "dependsOn": [each["bom-ref"] for each in [*others, OF_THE_SYSTEM]],
            }
        ],
    }
    return (json.dumps(document, indent=2) + "\n").encode()


def _component(wheel: Path) -> dict[str, Any]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        metadata = HeaderParser().parsestr(archive.read(name).decode())
    identity = f"pkg:pypi/{metadata['Name'].lower().replace('_', '-')}@{metadata['Version']}"
    return {
        "type": "library",
        "name": metadata["Name"],
        "version": metadata["Version"],
        "bom-ref": identity,
        "purl": identity,
        "scope": "required",
        "description": metadata["Summary"],
        "licenses": [_licence(metadata)],
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}],
        "externalReferences": [{"type": "distribution", "url": wheel.name}],
    }


def _licence(metadata: Message) -> dict[str, Any]:
    expression = metadata["License-Expression"]
    if expression:
        return {"expression": expression}
    for classifier in metadata.get_all("Classifier", []):
        if classifier in SPDX:
            return {"license": {"id": SPDX[classifier]}}
    name = (metadata["License"] or "unknown").splitlines()[0]
    return {"license": {"name": name}}
