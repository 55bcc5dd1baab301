"""Unpacks the bundle's wheels into the environment that runs this; called by ``install``.

It does what pip would do for wheels that are pure folders. pip itself is not needed: Debian has it
in packages that a host without a network may lack.
"""

import compileall
import shutil
import sys
import sysconfig
import zipfile
from pathlib import Path

# As pip writes it: the kernel takes no interpreter with a blank in its path.
COMMAND = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys

from domstats.cli.main import main

sys.exit(main())
"""


def unpack(bundle):
    modules = Path(sysconfig.get_path("purelib"))
    for wheel in sorted((bundle / "wheels").glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(modules)
    for data in modules.glob("*.data"):  # the man page
        shutil.copytree(data / "data", sys.prefix, dirs_exist_ok=True)
        shutil.rmtree(data)
    command = Path(sysconfig.get_path("scripts"), "domstats")
    command.write_text(COMMAND.format(python=sys.executable), "utf-8")
    command.chmod(0o755)
    shutil.copy(bundle / "sbom.cdx.json", sys.prefix)
    compileall.compile_dir(str(modules), quiet=1)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]))
