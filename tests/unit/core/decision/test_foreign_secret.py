"""What people are advised to do about a Secret that belongs to something else."""

from dataclasses import replace

from pipedrive_operator.core.decision.decision import Action
from pipedrive_operator.core.decision.policy import decide
from pipedrive_operator.core.values.conditions import Reason
from support.builders import api_token_up_to_date, changed


def test_a_secret_with_another_controller_cannot_be_handed_over() -> None:
    """The annotation would change nothing, so the message names the controller instead."""
    seen = api_token_up_to_date()
    assert seen.target is not None
    owner = {"apiVersion": "v1", "kind": "ExternalSecret", "name": "crm", "uid": "uid-9", "controller": True}
    foreign = replace(seen.target, labels={}, annotations={}, owner_references=(owner,))

    found = decide(changed(seen, target=foreign))

    assert found is not None
    assert (Action.WAIT, Reason.SECRET_CONFLICT) == (found.action, found.reason)
    assert "is controlled by ExternalSecret crm" in found.message
    assert "adopt" not in found.message
