"""Puts into the build root what the RPM packages consist of. Run by domstats.spec.

    install.py BUILDROOT WHEELS SITELIB PRIVATE

Python of RHEL 9, and no module but the standard library's.
"""

import re
import shutil
import sys
import zipfile
from pathlib import Path

#: The folder below PRIVATE of each project in the bundle. None: RHEL has it.
FOLDERS = {
    "msgspec": "library",
    "tomli": "library",
    "lxml": None,
    "click": "command",
    "markdown_it_py": "command",
    "mdurl": "command",
    "pygments": "command",
    "rich": "command",
    "typing_extensions": "command",
    "linkify_it_py": "top",
    "mdit_py_plugins": "top",
    "platformdirs": "top",
    "textual": "top",
    "uc_micro_py": "top",
}

COMMAND = '''\
#!/usr/bin/python3 -I
"""The command domstats."""

import sys

sys.path[:0] = ["{private}/library", "{private}/command", "{private}/top"]
from domstats.cli.main import main

main()
'''
SWITCH = """\
## Switched on by
##   domstats enable {agent}
## which makes a link to it, {link}, and off by
##   domstats disable {agent}
"""


def main(root, wheels, modules, private):
    for wheel in sorted(wheels.glob("*.whl")):
        project = wheel.name.split("-")[0].lower()
        if project == "domstats":
            _unpack(wheel, root / modules)
        elif project not in FOLDERS:
            sys.exit(f"install.py: in which folder does {wheel.name} belong?")
        elif FOLDERS[project]:
            _unpack(wheel, root / private / FOLDERS[project])
    _own(root / modules)

    manual = _folder(root / "usr/share/man/man1")
    shutil.copy("docs/man/domstats.1", manual)
    command = _folder(root / "usr/bin") / "domstats"
    command.write_text(COMMAND.format(private=f"/{private}"), "utf-8")
    command.chmod(0o755)
    _configurations(root / "etc", private)


def _configurations(etc, private):
    text = Path("collectd.conf.d/domstats.conf").read_text("utf-8")
    text, found = re.subn(
        r"^  #ModulePath .*$", f'  ModulePath "/{private}/library"', text, flags=re.MULTILINE
    )
    head = SWITCH.format(agent="collectd", link="/etc/collectd.d/domstats.conf")
    own = _folder(etc / "domstats")
    (own / "collectd.conf").write_text(head + text, "utf-8")

    text = Path("telegraf/domstats.conf").read_text("utf-8")
    commands = text.count('["domstats", ')
    text = text.replace('["domstats", ', '["/usr/bin/domstats", ')
    head = SWITCH.format(agent="telegraf", link="/etc/telegraf/telegraf.d/domstats.conf")
    (own / "telegraf.conf").write_text(head + text, "utf-8")
    shutil.copy("telegraf/domstats.toml", _folder(etc / "telegraf"))
    if (found, commands) != (1, 1):
        sys.exit("install.py: the ready configurations are not as they were; what names our paths?")


def _own(modules):
    """What rpm keeps itself, or what is in another place here."""
    (information,) = modules.glob("domstats-*.dist-info")
    (information / "RECORD").unlink()
    (information / "INSTALLER").write_text("rpm\n", "utf-8")
    for data in modules.glob("domstats-*.data"):
        shutil.rmtree(str(data))


def _unpack(wheel, folder):
    with zipfile.ZipFile(str(wheel)) as archive:
        archive.extractall(str(_folder(folder)))


def _folder(path):
    path.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *(each.lstrip("/") for each in sys.argv[3:5]))
