"""What to do about an error of kubectl. Its own message is printed first, without its log lines."""

import re
from typing import Final

from pipedrive_operator.core.resource.names import CONSENT_KIND, CONSENT_PLURAL, PLURAL

_ABSENT: Final = """\
The operator's CRD is not installed in this cluster, or this is not the cluster that you meant:
  kubectl config current-context
An administrator of the cluster installs the CRD and the operator as the README of pipedrive-operator describes."""
_NO_CONSENTS: Final = f"""\
This cluster has no {CONSENT_KIND}, so no account can be connected in a browser yet. An administrator of the cluster
applies the second CRD, {CONSENT_PLURAL}, and enables consents in the operator: see docs/consent.md."""
_FORBIDDEN: Final = """\
You lack a permission. The operator's chart adds reading credentials to the role `view`, and changing and connecting
them to `edit`. Ask an administrator of the namespace for one of these roles. To see what you may do:
  kubectl pipedrive check -n NAMESPACE"""
_NOT_EVERYWHERE: Final = """\
You may not see all namespaces. Name one that you have access to: -n NAMESPACE in place of -A."""
_NO_NAMESPACE: Final = """\
This cluster has no such namespace. List them, and check that this is the right cluster:
  kubectl get namespaces
  kubectl config current-context"""
_NOT_FOUND: Final = """\
This namespace has no such credential. List those that exist:
  kubectl pipedrive status -n NAMESPACE
  kubectl pipedrive status -A"""
_LOGGED_OUT: Final = """\
The cluster does not accept your login, which may have expired. Log in again, then check:
  kubectl auth whoami"""
_NO_CONTEXT: Final = """\
Choose a context of your kubeconfig with --context, or for all commands with `kubectl config use-context`:
  kubectl config get-contexts"""
_NO_CONFIG: Final = """\
kubectl found no cluster in its kubeconfig, so it tried localhost:8080. Check that --kubeconfig or the variable
KUBECONFIG names a file that exists, and that the file has the cluster:
  kubectl config get-contexts"""
_BAD_CONFIG: Final = """\
kubectl cannot read its kubeconfig. Check the file that --kubeconfig or the variable KUBECONFIG names; without both,
it is ~/.kube/config."""
_UNREACHABLE: Final = """\
The cluster cannot be reached. Check the network (VPN, proxy), and that this is the right cluster:
  kubectl config current-context
  kubectl cluster-info"""
_NETWORK: Final = (
    r"Unable to connect|was refused|no such host|i/o timeout|deadline exceeded|TLS handshake|x509:|no route to host|"
    "network is unreachable|couldn't get current server API group list"
)
_ADVICE: Final = (
    (rf"have a resource type \"{CONSENT_PLURAL}|no matches for kind \"{CONSENT_KIND}", _NO_CONSENTS),
    (rf"have a resource type \"{PLURAL}|no matches for kind|could not find the requested resource", _ABSENT),
    (r"is forbidden:.*at the cluster scope", _NOT_EVERYWHERE),
    (r"\(Forbidden\)|is forbidden:", _FORBIDDEN),
    (r"namespaces \"[^\"]*\" not found", _NO_NAMESPACE),
    (rf"{re.escape(PLURAL)}[.a-z-]* \"[^\"]*\" not found", _NOT_FOUND),
    (r"must be logged in|Unauthorized|provide credentials", _LOGGED_OUT),
    (r"context .*does not exist|context was not found|no context exists|current-context is not", _NO_CONTEXT),
    (r"cluster \"[^\"]*\" does not exist", _NO_CONTEXT),
    (r"localhost:8080 was refused", _NO_CONFIG),
    (r"error: stat .*no such file|error loading config file", _BAD_CONFIG),
    (_NETWORK, _UNREACHABLE),
)
_LOG_LINE: Final = re.compile(r"[EWI][0-9]{4} [0-9:.]+ +[0-9]+ memcache\.go:")
NO_KUBECTL: Final = (
    "error: there is no program `kubectl` on your PATH. Every access to the cluster goes through it: install it, "
    "https://kubernetes.io/docs/tasks/tools/"
)


def without_log_lines(message: str) -> str:
    """Return a message without the log lines before it: kubectl repeats the same failure in up to seven of them."""
    lines = [line for line in message.splitlines() if not _LOG_LINE.match(line)]
    return "\n".join(lines).strip() or message


def advice(message: str) -> str | None:
    """Return the next step after an error of kubectl; None if its own message has to be enough."""
    return next((text for pattern, text in _ADVICE if re.search(pattern, message)), None)
