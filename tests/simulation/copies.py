"""When Vault first held each refresh token or a descendant of it, and which of them a restore has undone. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fakes.pipedrive import Send
from pipedrive_operator.core.grant.grant import Grant


@dataclass
class Copies:
    """The refresh tokens that Vault has held, as the grant or as a candidate."""

    since: dict[str, float] = field(default_factory=dict)
    """When Vault first held each of them, or a descendant of it, unless a restore has undone that."""
    undone: set[str] = field(default_factory=set)
    """Those that a restore has undone: Vault holds what was spent for them, and nothing shows that it is spent."""

    def hold(self, tokens: Iterable[str], sends: Iterable[Send], at: float) -> None:
        """Record that Vault holds these tokens, which shows that those before them are spent."""
        for token in with_ancestors(tokens, sends):
            self.since.setdefault(token, at)
            self.undone.discard(token)

    def restore(
        self, tokens: Collection[str], sends: Sequence[Send], line: Callable[[str], str | None], at: float
    ) -> None:
        """Record that Vault holds these tokens again: they were spent for what is undone, and others for them."""
        held = with_ancestors(tokens, sends)
        lines = {line(token) for token in tokens}
        self.undone |= {token for token in self.since if token not in held and line(token) in lines}
        self.since = {token: since for token, since in self.since.items() if token not in self.undone}
        self.hold(tokens, sends, at)


def refresh_tokens(values: Mapping[str, object], candidate: Grant | None) -> set[str]:
    """Return the refresh tokens of a grant and of the candidate beside it."""
    beside = {candidate.refresh_token.reveal()} if candidate is not None else set()
    return {str(values.get("refresh_token", "")), *beside}


def with_ancestors(tokens: Iterable[str], sends: Iterable[Send]) -> set[str]:
    """Return tokens with those that were spent for them, one after the other."""
    spent_for = {send.successor: send.token for send in sends if send.successor is not None}
    found, left = set[str](), list(tokens)
    while left:
        token = left.pop()
        if token not in found:
            found.add(token)
            left += [spent_for[token]] if token in spent_for else []
    return found
