"""Sends a test message to every address in ALERT_URLS.

`python -m brewery_assets.operations.alert_test`
"""

import os
import socket
import sys

from dotenv import load_dotenv

from brewery_assets.automation.alerts import Alert, Alerts
from brewery_assets.settings import Settings, SettingsError


def main() -> int:
    """Says of each address whether it arrived; the process's exit code."""
    load_dotenv(".env", override=True)  # as Dagster's own commands do
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    alerts = Alerts(urls=settings.alert_urls, webserver_url=settings.dagster_webserver_url)
    if not alerts.targets():
        print("ALERT_URLS is not set: .env.example has examples", file=sys.stderr)
        return 2
    test = Alert(
        "test",
        "A test: alerts arrive",
        {
            "From": f"{os.environ.get('USER', 'somebody')} on {socket.gethostname()}",
            "Any writing": "Kärnten, dolnośląskie, 대전, 🍺",
        },
        link=alerts.link("overview"),
    )
    failed = 0
    for number, target in enumerate(alerts.targets(), start=1):
        why = target.send(test)
        failed += why is not None
        print(f"{number}. {target.name}: {f'did not arrive: {why}' if why else 'arrived'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
