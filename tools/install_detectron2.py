"""Installs Detectron2 into the running interpreter, unless one that imports is already there.

In: nothing but pip and the network. Out: an importable `detectron2` in site-packages. An installed
build, upstream's for example, is left alone. Otherwise one known wheel of PyPI is installed after
its hash is verified. The wheel is tagged for Python 3.10 because of a compiled extension that
nothing here uses; its Python code runs on 3.10 to 3.13, so pip is told to take it all the same.
"""

import hashlib
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

OLDEST, NEWEST = (3, 10), (3, 13)
REQUIREMENT = "sal-detectron2==0.7.2"
SHA256 = "491af0c7f79bdb2d178e46f6cb16a97c4ac968d45c41ea3f6b6435d59bbee561"
WHEEL_OPTIONS = (
    *("--no-deps", "--only-binary=:all:", "--platform", "any"),
    *("--python-version", "3.10", "--implementation", "cp", "--abi", "none"),
)


def installed_version() -> str | None:
    """Returns the version and place of an importable Detectron2, None where there is none.

    A fresh interpreter answers, so that a half-imported package never stays behind in this one.
    """
    probe = "import detectron2 as d; print(d.__version__, 'in', d.__path__[0])"
    answer = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    return answer.stdout.strip() if answer.returncode == 0 else None


def verify_hash(wheel: Path, expected: str = SHA256) -> None:
    """Raises ValueError if the file's SHA-256 is not the expected one."""
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != expected:
        raise ValueError(
            f"{wheel.name} has SHA-256 {found}, expected {expected}: the download is damaged or "
            "not the tested release. Try again, or install an upstream build of Detectron2 first."
        )


def pip(command: str, *arguments: str) -> None:
    """Runs a pip command of this interpreter; its failure ends the installation."""
    quiet = ("--quiet", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", command, *quiet, *arguments], check=True)


def install() -> None:
    """Downloads the wheel, verifies it and unpacks it into site-packages."""
    with tempfile.TemporaryDirectory() as folder:
        pip("download", *WHEEL_OPTIONS, "--dest", folder, REQUIREMENT)
        (wheel,) = Path(folder).glob("*.whl")
        verify_hash(wheel)
        site_packages = sysconfig.get_paths()["purelib"]
        pip("install", *WHEEL_OPTIONS, "--upgrade", "--target", site_packages, str(wheel))


def require_python() -> None:
    """Ends the installation on a Python that the wheel does not run on."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        sys.exit(
            f"Python {sys.version.split()[0]}: this project runs on Python 3.10 to 3.13; create "
            "the environment with one of them."
        )


def main() -> None:
    """Says which Detectron2 is there, or installs one and says so."""
    require_python()
    if found := installed_version():
        print(f"Detectron2 {found} is installed already and stays as it is.")
        return
    print(f"Installing Detectron2 from {REQUIREMENT}.")
    install()
    if not (found := installed_version()):
        sys.exit("Detectron2 was installed but does not import: `python -c 'import detectron2'`.")
    print(f"Installed Detectron2 {found}.")


if __name__ == "__main__":
    main()
