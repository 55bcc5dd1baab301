"""Blocks of options of plugin virt, each to be given literally to virt and to domstats.

Every option that `man collectd.conf` lists for virt is in one of them, and every selector of
ExtraStats but those in ``NOT_HERE``. Where the two differ with a block, it names the difference by
its identifier in docs/migrating.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

#: Guests of the bed that are paused and resumed while a block is compared.
FIRST, OTHER = "web-1", "guest-5"
#: One that is paused all the time.
PAUSED = "db-1"

NOVA_10 = "http://openstack.org/xmlns/libvirt/nova/1.0"
NOVA_11 = "http://openstack.org/xmlns/libvirt/nova/1.1"

#: Names that libvirt allows and others stumble over.
HOSTILE = (
    "a b, c=d",
    'say "hello" \\ bye',
    "100% %s%n $(id) `id`",
    "größe-日本-🐧",
    "hid..den",
    "dots.and:colons*?[x]",
)

#: Selectors of ExtraStats that are compared elsewhere.
NOT_HERE: Mapping[str, str] = {
    "fs_info": "test_guest_agent, which has guests with an agent",
    "job_stats_background": "test_jobs, while a guest is migrated",
    "job_stats_completed": "test_jobs, when one has been",
}

#: What both send of real guests as the bed has them; see test_every_key_of_virt for the rest.
SELECTORS = (
    "cpu_util disk disk_allocation disk_capacity disk_err disk_physical domain_state memory"
    " pcpu perf vcpu vcpupin"
)


class Block(NamedTuple):
    """What both are given.

    :param ours: what only ours needs besides.
    :param guests: of FIRST and OTHER, those that are selected: ours notifies of these alone.
    :param differs: the differences that show, by their identifiers.
    :param everything: whether every selector of ExtraStats is to be given as well.
    """

    options: str
    ours: str = ""
    guests: tuple[str, ...] = (FIRST, OTHER)
    differs: tuple[str, ...] = ()
    everything: bool = True


def _of_first(options: str) -> Block:
    """A block with FIRST as its only domain, which alone has metadata of both namespaces."""
    lines = f'{options}\nDomain "{FIRST}"\nIgnoreSelected false'
    return Block(lines, guests=(FIRST,), differs=("notices-of-others",))


BLOCKS: Mapping[str, Block] = {
    "plain": Block("RefreshInterval 60\nInstances 1\nPersistentNotification false"),
    "persistent notifications, lists refreshed each second": Block(
        "RefreshInterval 1\nPersistentNotification true"
    ),
    "words in odd case": Block(
        'HOSTNAMEFORMAT "NAME" "Uuid"\npluginINSTANCEformat "UUID"\ninterfaceformat "Number"\n'
        'BLOCKDEVICEFORMAT "SOURCE"\nblockdeviceformatbasename TRUE\nreportBLOCKdevices yes\n'
        'REPORTnetworkINTERFACES on\nignoreSELECTED "False"\npersistentnotification no\n'
        'EXTRASTATS "DISK vcpu DOMAIN_STATE"',
        everything=False,
    ),
    "our host, name as plugin instance": Block(
        'HostnameFormat "hostname"\nPluginInstanceFormat "name"'
    ),
    "name and uuid, NICs by address": Block(
        'HostnameFormat "name" "uuid"\nPluginInstanceFormat "uuid" "name"\n'
        'InterfaceFormat "address"'
    ),
    "our host and the name": Block(
        'HostnameFormat "hostname" "name"\nPluginInstanceFormat "none" "name"',
        ours='Hostname "collectd"',
    ),
    "some domains, NICs by number": Block(
        'Domain "web-1"\nDomain "/^sh.p,.gr/"\nDomain "/[[:digit:]]$/"\nInterfaceFormat "number"'
    ),
    "all domains but one": Block(
        f'Domain "{OTHER}"\nIgnoreSelected "true"', guests=(FIRST,), differs=("notices-of-others",)
    ),
    "disks by source, all NICs but the second by number": Block(
        'BlockDeviceFormat "source"\nBlockDeviceFormatBasename false\n'
        'InterfaceFormat "number"\nInterfaceDevice "web-1:2"\nIgnoreSelected true'
    ),
    "disks by the source's last part": Block(
        'BlockDeviceFormat "source"\nBlockDeviceFormatBasename true\n'
        'BlockDevice "/web-1:.*vdb/"\nIgnoreSelected true'
    ),
    "the last part of what is no source, no NICs": Block(
        'BlockDeviceFormatBasename true\nBlockDevice "web-1:vda"\nBlockDevice "web-1:hda"\n'
        'ReportNetworkInterfaces false\nInterfaceDevice "/web-1:/"'
    ),
    "all but some": Block(
        'Domain "/%s/"\nBlockDevice "/:vdb$/"\nInterfaceDevice "/^web-1:/"\n'
        'BlockDevice "guest-5:vda"\nIgnoreSelected true'
    ),
    "only some devices": Block(
        'BlockDevice "web-1:vda"\nInterfaceDevice "/^guest-.:nic/"\nIgnoreSelected false'
    ),
    "no disks, NICs by address, none of which is called so": Block(
        'ReportBlockDevices false\nBlockDevice "web-1:vda"\n'
        'InterfaceFormat "address"\nInterfaceDevice "/:nic/"'
    ),
    "several lines of ExtraStats": Block(
        'ExtraStats "pcpu disk"\nExtraStats "vcpu"', differs=("extra-stats-lines",),
        everything=False,
    ),
    "metadata as part of the host and as plugin instance": _of_first(
        'HostnameFormat "name" "metadata"\nPluginInstanceFormat "metadata"'
    ),
    "metadata of another namespace": _of_first(
        f'HostnameFormat "metadata"\nHostnameMetadataNS "{NOVA_11}"\n'
        'HostnameMetadataXPath "/instance/owner/project/@uuid"'
    ),
    "all that a plugin instance holds": _of_first(
        'HostnameFormat "uuid"\nPluginInstanceFormat "name" "uuid" "metadata"\n'
        'HostnameMetadataXPath "//flavor/@name"'
    ),
    "metadata that only some have": Block(
        f'HostnameFormat "metadata"\nHostnameMetadataNS "{NOVA_11}"', differs=("no-metadata",)
    ),
}  # fmt: skip
