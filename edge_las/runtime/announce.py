"""Announces the server on the local network (mDNS), where Home Assistant looks for it."""

import contextlib
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlparse

from edge_las.errors import DeviceError

_TYPE = "_wyoming._tcp.local."
# Never reached: it only makes the system choose the address it would send multicast from.
_MDNS = ("224.0.0.251", 1)


@contextlib.asynccontextmanager
async def announced(uri: str, name: str) -> AsyncIterator[None]:
    """Announce the server at uri for as long as the context lasts.

    Raises: DeviceError if others cannot reach it there, or nothing can be announced.
    """
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

    url = urlparse(uri)
    if url.scheme != "tcp" or not url.hostname or not url.port:
        raise DeviceError(f"{uri}: only tcp://HOST:PORT can be announced")
    try:
        address = own_address() if url.hostname in ("0.0.0.0", "::") else socket.gethostbyname(url.hostname)
        service = AsyncServiceInfo(
            _TYPE, f"{name}.{_TYPE}", addresses=[socket.inet_aton(address)], port=url.port
        )
        zeroconf = AsyncZeroconf(interfaces=[address])
    except OSError as error:
        raise DeviceError(f"{uri}: cannot be announced: {error.strerror or error}") from None
    try:
        await zeroconf.async_register_service(service, allow_name_change=True)
        yield
    finally:
        await zeroconf.async_close()


def own_address() -> str:
    """Return this machine's address on the local network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(_MDNS)
        address: str = probe.getsockname()[0]
    return address
