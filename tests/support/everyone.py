"""A Python with snapmirror that every user of this machine can start.

The checkout, the virtual environment or the Python below it may lie in a home that is closed to others. Then package
and dependencies are copied, once a test session, to where everybody may read, for the system's own Python.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import stat
import sys
import sysconfig
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SYSTEM_PYTHON = Path("/usr/bin/python3")
_NOT_NEEDED = shutil.ignore_patterns(
    "mypy*", "ruff*", "pip*", "hypothesis*", "pytest*", "_pytest", "docker*", "__pycache__"
)


@functools.cache
def python_for_everyone() -> tuple[str, str]:
    """The interpreter, and the PYTHONPATH it needs."""
    packages = Path(sysconfig.get_path("purelib"))
    if all(map(_is_open, (Path(sys.executable), Path(sys.executable).resolve(), REPOSITORY, packages))):
        return sys.executable, str(REPOSITORY)
    folder = Path(tempfile.mkdtemp(prefix="snapmirror-everyone.", dir="/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    shutil.copytree(packages, folder / "packages", ignore=_NOT_NEEDED)
    shutil.copytree(REPOSITORY / "snapmirror", folder / "packages" / "snapmirror", dirs_exist_ok=True)
    return str(SYSTEM_PYTHON), str(folder / "packages")


def _is_open(path: Path) -> bool:
    """Whether others may come here and read."""
    wanted = stat.S_IROTH | stat.S_IXOTH if path.is_dir() else stat.S_IXOTH
    ways = all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)
    return ways and path.stat().st_mode & wanted == wanted
