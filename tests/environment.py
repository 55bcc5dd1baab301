"""Makes the virtual environment that it runs in one for this checkout: what setup.cfg requires is
installed, the package and the command `domstats` are those of this folder.

    .venv/bin/python tests/environment.py [EXTRA...]

With an extra, the versions are those of constraints.txt, so that the tests are today what they were
yesterday. Without one, what the distribution has will do if it fits.

In place of pip's editable mode, which pip before 21.3 (Python 3.9) lacks for a package without
setup.py, and which asks the package index for setuptools each time. Here pip is given names only,
and asks for nothing that the distribution has installed already.
"""

import configparser
import subprocess
import sys
import sysconfig
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

# As pip writes it: the kernel takes no interpreter with a blank in its path.
COMMAND = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys

from {module} import {function}

sys.exit({function}())
"""


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def main(extras: list[str]) -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(CHECKOUT / "setup.cfg", encoding="utf-8")
    required = lines(setup["options"]["install_requires"])
    for extra in extras:
        required += lines(setup["options.extras_require"][extra])
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    if extras:
        pip += ["--constraint", str(CHECKOUT / "constraints.txt")]
    subprocess.run([*pip, *required], check=True)

    package = CHECKOUT / setup["options"]["package_dir"].partition("=")[2].strip()
    (Path(sysconfig.get_path("purelib")) / "checkout.pth").write_text(f"{package}\n", "utf-8")
    for line in lines(setup["options.entry_points"]["console_scripts"]):
        name, _, place = (part.strip() for part in line.partition("="))
        module, _, function = place.partition(":")
        command = Path(sysconfig.get_path("scripts")) / name
        text = COMMAND.format(python=sys.executable, module=module, function=function)
        command.write_text(text, "utf-8")
        command.chmod(0o755)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # pip has said why
