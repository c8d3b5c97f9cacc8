"""One refresh as the logs of a chaos run show it; the tests of its judges change what they are about."""

from chaos.evidence import Kind, Refresh, Write

PATH = "pipedrive/acme/grant"
REFRESH = Refresh(
    path=PATH,
    consent="grant-1",
    token="old",
    issued="new",
    accepted=True,
    taken=100.0,
    answered=100.2,
    delivered=True,
)
OLD = {"refresh_token": "old in Vault"}
INTENT = Write(path=PATH, by="pair-0", at=99.9, kind=Kind.INTENT, tokens={**OLD, "refresh_id": "1"})
