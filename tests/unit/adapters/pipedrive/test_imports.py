"""The operator uses one HTTP client library, httpx."""

import subprocess
import sys

PROGRAM = """
import importlib, pkgutil, sys
import pipedrive_operator
for module in pkgutil.walk_packages(pipedrive_operator.__path__, "pipedrive_operator."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print("httpx" in sys.modules, sorted(
    name for name in sys.modules
    if name.split(".")[0] == "httpx2" or name.startswith("authlib.integrations")
))
"""


def test_the_operator_loads_no_second_http_client() -> None:
    """Authlib's integrations use httpx2, which the operator's transports and fence do not support."""
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)

    assert run.stdout == "True []\n"
