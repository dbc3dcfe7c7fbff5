"""Tells systemd how the service is (sd_notify), through the socket it names; without one nothing happens."""

import os
import socket


def notify(state: str) -> None:
    """Send a state such as READY=1; a socket that is gone is no reason to stop."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # the abstract namespace
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return


def watchdog_s() -> float | None:
    """Return how often to say WATCHDOG=1, half of what systemd allows; None if it doesn't ask."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    meant = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(microseconds) / 2e6 if microseconds.isdigit() and int(microseconds) and meant else None
