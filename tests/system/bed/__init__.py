"""A libvirtd with real QEMU guests that belongs to the tests alone.

``Bed`` brings up a libvirtd in namespaces of its own, so that no test ever meets the hypervisor it
runs on, and ``Guest`` is one domain on it. Usable from the tests as well as from ``bench/``:

    with Bed() as bed:
        guests = bed.ensure(8)
        connection = libvirt.openReadOnly(bed.uri)
        guests[3].hang()

Nothing here knows pytest or the package under test.
"""

from tests.system.bed.bed import Bed
from tests.system.bed.guest import Guest
from tests.system.bed.linux import AbsentSystem
from tests.system.bed.migration import Migration
from tests.system.bed.shape import Medium, Shape
from tests.system.bed.storage import Storage

__all__ = ["AbsentSystem", "Bed", "Guest", "Medium", "Migration", "Shape", "Storage"]
