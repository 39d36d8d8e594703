"""Whether others can log in to a machine, according to its list of accounts."""

import os
import pwd

import pytest

from brewery_assets.engine.accounts import others_can_log_in


def machine_of(monkeypatch: pytest.MonkeyPatch, me: int, accounts: list[str]) -> None:
    """Gives this machine these accounts (name:uid:shell), and this process the uid `me`."""
    found = []
    for account in accounts:
        name, uid, shell = account.split(":")
        found.append(pwd.struct_passwd((name, "x", int(uid), int(uid), "", "/", shell)))
    monkeypatch.setattr(pwd, "getpwall", lambda: found)
    monkeypatch.setattr(os, "getuid", lambda: me)


ROOT, ME, YOU = "root:0:/bin/bash", "me:1000:/bin/zsh", "you:1001:/usr/bin/fish"
SERVICES = ["daemon:1:/usr/sbin/nologin", "sync:4:/bin/sync", "nobody:65534:/usr/sbin/nologin"]


@pytest.mark.parametrize(
    ("me", "accounts", "others"),
    [
        (1000, [ME, *SERVICES], False),
        (1000, [ME, YOU, *SERVICES], True),
        (1000, [ME, ROOT, *SERVICES], False),
        (1000, [ME, "root:0:/sbin/nologin", "you:1001:/bin/false"], False),
        (0, [ROOT, *SERVICES], False),
        (0, [ROOT, ME, *SERVICES], True),
        (999, ["app:999:/bin/sh", "postgres:101:/bin/bash"], False),  # another service
        (4711, [], False),  # a container's account that is not in the list
    ],
)
def test_people_with_a_shell_can_log_in_and_services_cannot(
    monkeypatch: pytest.MonkeyPatch, me: int, accounts: list[str], others: bool
) -> None:
    machine_of(monkeypatch, me, accounts)
    assert others_can_log_in() is others
