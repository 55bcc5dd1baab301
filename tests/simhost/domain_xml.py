"""A domain's XML description, as far as a monitoring client reads it. Pure."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from .model import Disk, Domain, Image


def domain_xml(domain: Domain) -> str:
    """What XMLDesc answers; only characters that XML allows survive in names."""
    active = f' id="{domain.id}"' if domain.running else ""
    metadata = "\n".join(domain.metadata.values())
    lines = [
        f'<domain type="kvm"{active}>',
        f"  <name>{_text(domain.name)}</name>",
        f"  <uuid>{domain.uuid}</uuid>",
        f"  <title>{_text(domain.title)}</title>",
        f"  <metadata>\n{metadata}\n  </metadata>" if metadata else "",
        f'  <memory unit="KiB">{domain.memory}</memory>',
        f'  <currentMemory unit="KiB">{domain.balloon}</currentMemory>',
        f'  <vcpu current="{domain.vcpus_online}">{domain.vcpus_maximum}</vcpu>',
        f"  <iothreads>{domain.iothread_count}</iothreads>" if domain.iothread_count else "",
        '  <os><type arch="x86_64" machine="pc-q35-7.2">hvm</type></os>',
        "  <devices>",
        "    <emulator>/usr/bin/qemu-system-x86_64</emulator>",
        *map(_disk, domain.disks),
        *map(_interface_of(domain), domain.interfaces),
        *_agent(domain),
        '    <memballoon model="virtio"><stats period="5"/></memballoon>',
        "  </devices>",
        "</domain>",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _agent(domain: Domain) -> list[str]:
    if domain.agent is None:
        return []
    state = "connected" if domain.agent.connected else "disconnected"
    return [
        '    <channel type="unix"><source mode="bind" path="/run/agent"/>'
        f'<target type="virtio" name="org.qemu.guest_agent.0" state="{state}"/></channel>'
    ]


def _text(text: str) -> str:
    return escape("".join(c for c in text if c.isprintable() or c == " "))


def _disk(disk: Disk) -> str:
    if not disk.chain:
        return (
            f'    <disk type="file" device="cdrom"><target dev="{disk.target}" bus="sata"/></disk>'
        )
    first, *rest = disk.chain
    return (
        '    <disk type="file" device="disk"><driver name="qemu" type="qcow2"/>'
        f'{_source(first)}{_backing(rest)}<target dev="{disk.target}" bus="virtio"/>'
        f'<alias name="virtio-{disk.target}"/></disk>'
    )


def _source(image: Image) -> str:
    return f'<source file={quoteattr(image.path)} index="{image.index}"/>'


def _backing(images: list[Image]) -> str:
    if not images:
        return "<backingStore/>"
    first, *rest = images
    return (
        f'<backingStore type="file" index="{first.index}"><format type="qcow2"/>'
        f"{_source(first)}{_backing(rest)}</backingStore>"
    )


def _interface_of(domain: Domain):
    def line(interface) -> str:
        return (
            f'    <interface type="bridge"><mac address="{interface.mac}"/>'
            f'<source bridge="br0"/><target dev={quoteattr(interface.name)}/>'
            '<model type="virtio"/></interface>'
        )

    return line
