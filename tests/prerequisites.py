"""Says what the machine lacks before anything is set up, each with its remedy. It sets nothing up itself.

It runs before the virtual environment is there: nothing but the standard library may be imported.
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
    """Say that a module of the standard library is missing, as it is where distributions split Python up."""
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    return f"Python's module {name} is missing: install the system package {package} (or python3-venv)."


def go_problem(said: str | None) -> str | None:
    """Judge what `go version` said; None stands for no Go at all."""
    if said is None:
        return "Go is missing, which builds the real API server for the tests: install Go 1.26 or later."
    version = re.search(r"^go version (?:devel )?go(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < OLDEST_GO:
        return f"Go 1.26 or later is needed, but `go version` says {said.strip()!r}: install a newer Go."
    return None


def go_version() -> str | None:
    """Return what `go version` says, or None without Go."""
    go = shutil.which("go")
    if go is None:
        return None
    done = subprocess.run((go, "version"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout


if __name__ == "__main__":
    found = missing()
    print("\n".join(found), end="\n" if found else "", file=sys.stderr)
    sys.exit(1 if found else 0)
