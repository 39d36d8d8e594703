"""Sends a test message to every address in ALERT_URLS."""

import os
import socket
from collections.abc import Iterator

from brewery_assets.automation.alerts import Alert, Alerts


def send_test(alerts: Alerts) -> Iterator[tuple[str, str | None]]:
    """Yields each address's name and why its message did not arrive; None if it did."""
    test = Alert(
        "test",
        "This is a test message",
        {
            "From": f"{os.environ.get('USER', 'somebody')} on {socket.gethostname()}",
            "Non-ASCII text": "Kärnten, dolnośląskie, 대전, 🍺",
        },
        link=alerts.link("overview"),
    )
    for target in alerts.targets():
        yield target.name, target.send(test)
