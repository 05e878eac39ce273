"""Opens and makes the stores of the URLs ``github://owner/repo`` and ``github+api://owner/repo``."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from urllib.parse import urlsplit

from sentinel.clock import Clock, SystemClock
from sentinel.entropy import system_random
from sentinel.errors import NotAStore, OutcomeUnknown, Rejected
from sentinel.github.api import Api, Options, connect
from sentinel.github.credential import credential
from sentinel.github.errors import Declined, Missing, Unauthorised
from sentinel.github.git import GitData, Moved
from sentinel.github.git_token import GitToken
from sentinel.github.place import Place, locate
from sentinel.github.store import ApiStore
from sentinel.model.codec import encode_document
from sentinel.model.ids import IdSource
from sentinel.model.layout import FLEET, STATE_REF
from sentinel.store.base import message
from sentinel.store.location import Location
from sentinel.store.opener import StoreOptions
from sentinel.store.remote import RemoteStore, warn_in_the_clear
from sentinel.store.remote_init import MARK, create_at
from sentinel.store.repository import founding, signature
from sentinel.store.tree import path_of


def location_of(place: Place) -> Location:
    """Where git finds the repository."""
    parts = urlsplit(place.server_url)
    return Location(
        store=place.store,
        url=f"{place.server_url}/{place.full_name}.git",
        transport=parts.scheme,
        authority=parts.netloc,
    )


def open_git(url: str, options: StoreOptions) -> RemoteStore:
    """A connection to the fleet in a repository on GitHub, by git. Raises what `open_remote` raises."""
    location = location_of(locate(url, os.environ))
    warn_in_the_clear(location)
    token = _app_token(url, options)
    if token is None:
        return RemoteStore(location, options, environ=os.environ)
    return RemoteStore(location, options, environ=token.environ(os.environ), prepare=token.refresh)


def create_git(url: str, options: StoreOptions, *, dry_run: bool = False) -> list[str]:
    """Make the fleet's state in a repository on GitHub, by git. Raises what `create_remote` raises."""
    location = location_of(locate(url, os.environ))
    token = _app_token(url, options)
    if token is None:
        return create_at(location, options, dry_run=dry_run)
    token.refresh()
    return create_at(location, options, dry_run=dry_run, environ=token.environ(os.environ))


def _app_token(url: str, options: StoreOptions) -> GitToken | None:
    """What gives git the token of a GitHub App; None where we sign in otherwise, which git can do itself."""
    try:
        found = credential(os.environ)
    except Unauthorised:
        # Then git may know a way, by the user's own credential helper.
        return None
    return GitToken(_api(url, options, os.environ), options.state_folder) if found.kind == "app" else None


def open_api(url: str, options: StoreOptions) -> ApiStore:
    """A connection to the fleet in a repository on GitHub, by the API alone.

    Raises `BadInput` for the URL, `NotAStore` when there is no fleet, and `Unavailable` when GitHub cannot be
    reached or does not accept the credentials.
    """
    return ApiStore(_api(url, options, os.environ), options)


def create_api(url: str, options: StoreOptions, *, dry_run: bool = False) -> list[str]:
    """Make the fleet's state in a repository on GitHub, or do nothing where it is; safe to run at once.

    One sentence for what was, or with ``dry_run`` would be, done. Raises what `open_api` raises, and
    `Rejected` when GitHub does not take the branch.
    """
    api = _api(url, options, os.environ)
    try:
        git = GitData(api)
        if git.ref(STATE_REF) is None:
            done = [f"{'Would make' if dry_run else 'Made'} the branch sentinel/state in {api.place.store}."]
            if dry_run:
                return done
            make_branch(git, api.place, options.actor, clock=SystemClock(), rng=system_random())
        else:
            done = []
    finally:
        api.close()
    # Whether it is a fleet that we can use.
    open_api(url, options).close()
    return done


def _api(url: str, options: StoreOptions, environ: Mapping[str, str]) -> Api:
    place = locate(url, environ)
    warn_in_the_clear(location_of(place))
    return connect(place, Options(timeout=options.timeout, environ=environ))


def make_branch(git: GitData, place: Place, actor: str, *, clock: Clock, rng: random.Random) -> None:
    """Make the branch of the state, if nobody else does at the same time. Raises what `create_api` raises."""
    ids = IdSource(rng, clock.wall)
    wall = clock.wall()
    record, change = founding(actor, ids.ulid(), wall, MARK)
    try:
        tree = git.make_tree(None, {"/".join(path_of(FLEET)): encode_document(record)})
        root = git.make_commit(message([change], ids.nonce()), tree, [], signature(actor, wall))
        verdict = git.create(STATE_REF, root)
    except Declined as error:
        if error.status == 409:
            raise NotAStore(
                f"{place.store} is an empty repository, in which GitHub's API makes nothing; give it a first "
                "commit, such as a README, and run the same command again"
            ) from error
        raise
    except Missing as error:
        raise NotAStore(f"there is no repository {place.full_name} on {place.host}, or not for us") from error
    except OutcomeUnknown as error:
        raise OutcomeUnknown(f"{error}; run the same command again") from error
    # Elsewhere: somebody was at it at the same time, and theirs does as well.
    if verdict.moved is Moved.DECLINED:
        raise Rejected(f"{place.store} does not take the branch sentinel/state: {verdict.reason}")
