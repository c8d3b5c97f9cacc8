"""Why a command ends early. The message is written for the person who typed it."""


class UsageError(Exception):
    """The command line cannot be used; the exit code is 2."""


class KubectlFailed(Exception):
    """kubectl ended with an error; the text is what it wrote to its standard error."""

    @property
    def is_forbidden(self) -> bool:
        """Whether the API server denied the request for lack of a permission."""
        return "(Forbidden)" in str(self) or "is forbidden:" in str(self)

    @property
    def is_not_found(self) -> bool:
        """Whether the object does not exist."""
        return "(NotFound)" in str(self)

    @property
    def is_unknown_flag(self) -> bool:
        """Whether this version of kubectl does not know a flag."""
        return "unknown flag" in str(self)


class KubectlMissing(Exception):
    """There is no program `kubectl` on the PATH."""


class PortTaken(Exception):
    """A port that the redirect needs cannot be listened at; the text is its host and port."""


class ConnectFailed(Exception):
    """A consent cannot lead to a connection any more. The message says why, and what to do."""
