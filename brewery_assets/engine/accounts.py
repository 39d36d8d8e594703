"""Who else can log in to this machine."""

import os

FIRST_PERSON = 1000  # smaller numbers belong to root, which reads everything, and to services
NO_SHELLS = ("nologin", "false")


def others_can_log_in() -> bool:
    """Whether a person other than the account of this process has a login shell.

    False on a system without a list of accounts.
    """
    try:
        import pwd
    except ImportError:
        return False
    return any(
        account.pw_uid != os.getuid()
        and account.pw_uid >= FIRST_PERSON
        and not account.pw_shell.endswith(NO_SHELLS)
        for account in pwd.getpwall()
    )
