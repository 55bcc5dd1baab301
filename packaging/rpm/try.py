"""One round of libvirt's test hypervisor, with what is in the build root. Run by domstats.spec.

    try.py BUILDROOT SITELIB PRIVATE PYTHON_VERSION
"""

import importlib.util
import subprocess
import sys

#: The command, with the build root before its folders, and what collectd imports.
ROUND = """\
import sys
root, modules, private = sys.argv[1:4]
folders = (f"{private}/{each}" for each in ("library", "command", "top"))
sys.path[:0] = [root + each for each in (modules, *folders)]
import domstats.collectd_plugin, domstats.cli.top_app
from domstats.cli.main import run
sys.exit(run(["sample", "--connect", "test:///default"]))
"""


def main(root, modules, private, version):
    here = "{}.{}".format(*sys.version_info)
    if here != version:
        print(f"not tried: it is for Python {version}, and this is {here}")
    elif importlib.util.find_spec("libvirt") is None:
        print("not tried: this Python has no libvirt binding")
    else:
        subprocess.run([sys.executable, "-B", "-c", ROUND, root, modules, private], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
