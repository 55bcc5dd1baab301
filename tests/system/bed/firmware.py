"""What the guests run instead of a BIOS and an operating system: a few bytes of machine code.

Such a guest runs from its very first moment. An idle one costs next to nothing; a busy one works
for a moment at each tick of its clock, so that its CPU time grows. A dirty one writes to 512 KiB of
its memory at each tick: a migration of it at 1 MiB/s does not end.
"""

from pathlib import Path

SIZE = 64 * 1024
NOP, HLT = 0x90, 0xF4

# cli; hlt; jmp back to the hlt.
IDLE = bytes([0xFA, HLT, 0xEB, 0xFD])

START, TICK = 0xE000, 0xE100
# jmp F000:START
BUSY = bytes([0xEA, START & 0xFF, START >> 8, 0x00, 0xF0])
BUSY_START = bytes.fromhex(
    "fa"  # cli
    "31c0 8ed8 8ed0 bc0070"  # data and stack in the first segment
    "c7062000 00e1"  # interrupt 8 is served at F000:TICK
    "c7062200 00f0"
    "66b91b000000 66b80001e0fe 6631d2 0f30"  # local APIC off, else it would swallow interrupts
    "b011 e620 b008 e621 b004 e621 b001 e621"  # interrupt controller: line 0 is interrupt 8
    "b0fe e621"  # no other line
    "b034 e643 30c0 e640 e640"  # timer: 18.2 ticks a second
    "fb f4 ebfd"  # sti; hlt; jmp back to the hlt
)
# Writing to a port costs about the same everywhere, other than computing: some hosts emulate that.
BUSY_TICK = bytes.fromhex(
    "b96400 e680 e2fc"  # write to port 0x80, which nobody listens to, a hundred times
    "b020 e620 cf"  # acknowledge the interrupt; iret
)

DIRTY_TICK = bytes.fromhex(
    "b80010"  # segments 1000 to 8000, of 64 KiB each
    "8ec0 31ff"
    "26ff05 81c70010 75f7"  # one more in the first word of each page
    "050010 3d0090 75eb"
    "b020 e620 cf"  # acknowledge the interrupt; iret
)

# Writes one sector at the beginning of the first IDE disk, as soon as it runs, and then idles.
WRITER_START = bytes.fromhex(
    "fa"  # cli
    "baf601 b0e0 ee"  # the first disk, by sector numbers
    "baf201 b001 ee"  # one sector
    "42 30c0 ee 42 ee 42 ee"  # number 0
    "baf701 b030 ee"  # write
    "ec a808 74fb"  # until it wants the data
    "baf001 b90001 ef e2fd"  # 256 words
    "f4 ebfd"  # hlt; jmp back to the hlt
)


def write_writer_rom(path: Path) -> None:
    """Write the image for a guest that writes to its disk."""
    path.write_bytes(_image(BUSY, {START: WRITER_START}))


def write_roms(idle: Path, busy: Path, dirty: Path) -> None:
    """Write an image for each kind of guest, to be loaded at the end of the address space."""
    idle.write_bytes(_image(IDLE, {}))
    busy.write_bytes(_image(BUSY, {START: BUSY_START, TICK: BUSY_TICK}))
    dirty.write_bytes(_image(BUSY, {START: BUSY_START, TICK: DIRTY_TICK}))


def _image(reset_vector: bytes, code: dict[int, bytes]) -> bytes:
    image = bytearray([NOP]) * SIZE
    for address, part in {SIZE - 16: reset_vector, **code}.items():
        image[address : address + len(part)] = part
    return bytes(image)
