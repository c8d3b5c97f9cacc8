"""A resync: what a list adds to the cache and removes from it, and which credentials are reconciled."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

import pytest

from fakes.clock import TurnedClock
from fakes.cluster import FakeCluster, Page
from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.controller.consent_cache import ConsentCache
from pipedrive_operator.controller.consents import ConsentController
from pipedrive_operator.controller.queue import WorkQueue
from pipedrive_operator.controller.resync import resync, resync_consents
from pipedrive_operator.core.decision.sources import resolve
from pipedrive_operator.core.resource.names import LABEL_CREDENTIAL, Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from support.builders import API_TOKEN_SPEC, KEY, RULES, resource

if TYPE_CHECKING:
    from pipedrive_operator.reconcile.consents import ConsentReconciler

OTHER = Key(namespace="crm", name="other")


def secret(name: str = "acme", *, of: str = "acme") -> dict[str, Any]:
    """Build a Secret of a credential."""
    return {"metadata": {"namespace": "crm", "name": name, "labels": {LABEL_CREDENTIAL: of}}, "data": {}}


async def found_by(cluster: FakeCluster, cache: Cache) -> set[Key]:
    """Resync, and return the credentials to reconcile."""
    found = set[Key]()
    await resync(cluster, cache, found)
    return found


@pytest.fixture
def cluster() -> FakeCluster:
    """Return a cluster with two credentials and the Secret of one."""
    made = FakeCluster()
    made.apply(resource(API_TOKEN_SPEC))
    made.apply(resource(API_TOKEN_SPEC, name="other"))
    made.put_secret(secret())
    return made


@pytest.fixture
def cache() -> Cache:
    """Return an empty cache."""
    return Cache(lambda credential: resolve(credential, RULES))


async def test_the_first_resync_fills_the_cache(cluster: FakeCluster, cache: Cache) -> None:
    """Every credential is reconciled once."""
    assert {KEY, OTHER} == await found_by(cluster, cache)

    assert cache.credential(KEY) is not None
    assert cache.secret(KEY) is not None


async def test_a_resync_without_news_reconciles_nothing(cluster: FakeCluster, cache: Cache) -> None:
    """Thousands of credentials would otherwise be reconciled at each interval."""
    await found_by(cluster, cache)

    assert set() == await found_by(cluster, cache)


async def test_a_missed_change_is_found(cluster: FakeCluster, cache: Cache) -> None:
    """The credential of the Secret is reconciled."""
    await found_by(cluster, cache)
    cluster.put_secret(secret() | {"data": {"api_token": "c3BvaWx0"}})

    assert {KEY} == await found_by(cluster, cache)


async def test_a_missed_deletion_of_a_secret_is_found(cluster: FakeCluster, cache: Cache) -> None:
    """The watch never reports it."""
    await found_by(cluster, cache)
    cluster.delete_secret(KEY)

    assert {KEY} == await found_by(cluster, cache)
    assert cache.secret(KEY) is None


async def test_a_missed_deletion_of_a_credential_is_found(cluster: FakeCluster, cache: Cache) -> None:
    """One last pass removes what was remembered about it."""
    await found_by(cluster, cache)
    del cluster.credentials[OTHER]
    cluster.next()

    assert {OTHER} == await found_by(cluster, cache)
    assert cache.credential(OTHER) is None


async def test_secrets_are_listed_before_credentials(cluster: FakeCluster, cache: Cache) -> None:
    """A credential that is known before its Secret would be published again."""
    order: list[str] = []

    class Recording(FakeCluster):
        def list_secrets(self) -> Any:
            order.append("secrets")
            return cluster.list_secrets()

        def list_credentials(self) -> Any:
            order.append("credentials")
            return cluster.list_credentials()

    await found_by(Recording(), cache)

    assert ["secrets", "credentials"] == order


async def test_a_failed_list_removes_nothing(cluster: FakeCluster, cache: Cache) -> None:
    """An error is not an empty list."""
    await found_by(cluster, cache)
    cluster.network.is_away = True

    with pytest.raises(ApiServerUnavailable):
        await found_by(cluster, cache)

    assert cache.secret(KEY) is not None


class TwoPages(FakeCluster):
    """Lists one credential a page, the later page at a later resourceVersion."""

    pages: list[Page]
    fails_after: int | None = None
    """How many pages are listed before the API server is away."""

    async def list_credentials(self) -> Any:
        """List."""
        for number, page in enumerate(self.pages):
            if number == self.fails_after:
                raise ApiServerUnavailable("503 Service Unavailable")
            yield page


class PagesOfConsents:
    """Lists pages of consents, the later page at a later resourceVersion."""

    def __init__(self, *pages: Page, is_away: bool = False) -> None:
        """List these pages, before the API server is away."""
        self.pages = pages
        self.is_away = is_away

    async def list_consents(self) -> AsyncIterator[Page]:
        """List."""
        for page in self.pages:
            yield page
        if self.is_away:
            raise ApiServerUnavailable("503 Service Unavailable")


def consent(name: str, *, version: int) -> dict[str, Any]:
    """Build a consent as it was at that version."""
    made = resource({"credential": "acme", "stateDigest": f"sha256:{'0' * 64}"}, name=name)
    made["metadata"]["resourceVersion"] = str(version)
    return made


def page_of(cluster: FakeCluster, *keys: Key, version: int) -> Page:
    """Build a page of a list."""
    return Page([cluster.credentials[key] for key in keys], version)


@pytest.fixture
def paged(cluster: FakeCluster) -> TwoPages:
    """Return a cluster that lists in two pages."""
    made = TwoPages()
    made.pages = [page_of(cluster, KEY, version=2000), page_of(cluster, OTHER, version=3000)]
    return made


async def test_all_pages_are_one_list(paged: TwoPages, cache: Cache) -> None:
    """A credential of the second page is not missing from the first."""
    assert {KEY, OTHER} == await found_by(paged, cache)
    assert set() == await found_by(paged, cache)


async def test_what_was_created_after_the_first_page_is_kept(paged: TwoPages, cache: Cache) -> None:
    """Namespaces are listed in turn: of the two versions only the earlier is safe to remove at."""
    created = resource(API_TOKEN_SPEC, name="created")
    created["metadata"]["resourceVersion"] = "2500"
    cache.see_credential("ADDED", created)

    await found_by(paged, cache)

    assert cache.credential(Key(namespace="crm", name="created")) is not None


async def test_what_was_found_before_a_list_failed_is_returned(paged: TwoPages, cache: Cache) -> None:
    """The cache reports a change once: the next resync would find nothing new about it."""
    found = set[Key]()
    paged.fails_after = 1

    with pytest.raises(ApiServerUnavailable):
        await resync(paged, cache, found)

    assert {KEY} == found


async def test_the_consents_that_were_found_before_a_list_failed_are_reconciled() -> None:
    """The cache of consents reports a change once as well."""
    queue = WorkQueue(TurnedClock())
    reconciler = cast("ConsentReconciler", None)
    lister = PagesOfConsents(Page([consent("new", version=1000)], 2000), is_away=True)
    controller = ConsentController(reconciler=reconciler, queue=queue, cache=ConsentCache(), lister=lister)

    with pytest.raises(ApiServerUnavailable):
        await controller.resync()

    assert 1 == queue.depth


async def consents_after(cache: ConsentCache, *pages: Page) -> set[str]:
    """Resync, and return the names of the consents that are known then."""
    await resync_consents(PagesOfConsents(*pages), cache, set())
    return {key.name for key in cache.keys}


async def test_a_resync_forgets_only_consents_that_were_there_before_its_first_page() -> None:
    """A consent that was created meanwhile would otherwise wait for the next resync."""
    cache = ConsentCache()
    cache.see("ADDED", consent("missed-deletion", version=1500))
    cache.see("ADDED", consent("created-meanwhile", version=2500))

    known = await consents_after(cache, Page([], 2000), Page([consent("listed", version=1000)], 3000))

    assert {"created-meanwhile", "listed"} == known


async def test_a_resync_does_not_bring_back_a_consent_that_was_deleted_meanwhile() -> None:
    """The watch has reported the deletion, and never reports it again."""
    cache = ConsentCache()
    listed = consent("acme", version=1000)
    cache.see("ADDED", listed)
    cache.see("DELETED", consent("acme", version=2500))

    assert set() == await consents_after(cache, Page([listed], 2000))


async def test_a_list_without_a_page_forgets_no_consent() -> None:
    """An API server that has just started may not serve consents yet."""
    cache = ConsentCache()
    cache.see("ADDED", consent("acme", version=1000))

    assert {"acme"} == await consents_after(cache)
