"""Which lines of grants have gone from Vault, so that nothing in it shows that an old copy of them is spent. Pure."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from pipedrive_operator.core.grant.keys import OBSOLETE
from pipedrive_operator.core.values.secret_value import SecretValue

Line = str | None


@dataclass
class Traces:
    """What Vault shows of the lines of grants: as the grant, as a candidate, or in the mark of what is obsolete."""

    gone: set[Line] = field(default_factory=set)
    """The lines that others than the operator have removed from Vault, or that a consent has replaced.

    With them those of a refused grant, which an old copy of another line has replaced.
    """
    returned: set[str] = field(default_factory=set)
    """The tokens of such a line that Vault has got again from an escrow, and nothing else of the line since."""
    revived: set[Line] = field(default_factory=set)
    """The lines of these tokens. One that Vault holds no more has gone again, even if the operator has removed it."""

    def see(
        self,
        before: set[str],
        after: set[str],
        line: Callable[[str], Line],
        *,
        ancestors: Callable[[str], Collection[str]],
        is_meant: bool,
        refused: str | None = None,
    ) -> None:
        """Record which tokens Vault holds; those that a token was refreshed from do not show that it is spent.

        `is_meant` says whether a person or a consent has meant to remove others, and `refused` names the grant that
        Pipedrive has refused to the process that now writes another one in its place.
        """
        lines = {line(token) for token in after}
        back = {token for token in after if line(token) in self.gone}
        left = {line(token) for token in before} - lines
        self.revived |= {line(token) for token in back}
        given_up = self.revived | ({line(refused)} if refused is not None else set())
        self.gone = (self.gone - lines) | (left if is_meant else left & given_up)
        self.returned = {one for one in self.returned | back if not _has_others(one, after - {*ancestors(one)}, line)}
        self.revived -= {line(token) for token in after - self.returned}

    def explain(self, token: str, line: Line) -> bool:
        """Return whether Vault may show nothing of a token's successors, although it has held them."""
        return line in self.gone or token in self.returned


def named(values: Mapping[str, object], tokens: Collection[str]) -> set[str]:
    """Return the tokens that the mark in a document names as dropped or spent."""
    digits = tuple(entry.rpartition("/")[2] for entry in str(values.get(OBSOLETE, "")).split())
    return {token for token in tokens if digits and SecretValue(token).digest().startswith(digits)}


def _has_others(token: str, held: Collection[str], line: Callable[[str], Line]) -> bool:
    return any(one != token and line(one) == line(token) for one in held)
