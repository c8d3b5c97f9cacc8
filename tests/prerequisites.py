"""Reports what the machine lacks, with remedies, before anything is set up. It must not set up anything itself.

It runs before the virtual environment exists, so it may import only the standard library.
"""

import importlib.util
import re
import shutil
import subprocess
import sys

OLDEST_GO = (1, 26)


def missing() -> list[str]:
    """Return what this machine lacks."""
    modules = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    problems = [module_problem(name) for name in modules]
    if shutil.which("git") is None:
        problems.append("git is missing: install the system package git.")
    go = go_problem(go_version())
    return [*problems, go] if go else problems


def module_problem(name: str) -> str:
    """Report a missing module of the standard library: some distributions package parts of Python separately."""
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    return f"Python's module {name} is missing: install the system package {package} (or python3-venv)."


def go_problem(said: str | None) -> str | None:
    """Check the output of `go version`; None means that Go is missing."""
    if said is None:
        return "Go is missing, which builds the real API server for the tests: install Go 1.26 or later."
    version = re.search(r"^go version (?:devel )?go(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < OLDEST_GO:
        return f"Go 1.26 or later is needed, but `go version` says {said.strip()!r}: install a newer Go."
    return None


def go_version() -> str | None:
    """Return the output of `go version`, or None without Go."""
    go = shutil.which("go")
    if go is None:
        return None
    done = subprocess.run((go, "version"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout


if __name__ == "__main__":
    found = missing()
    print("\n".join(found), end="\n" if found else "", file=sys.stderr)
    sys.exit(1 if found else 0)
