import asyncio

import pytest

from edge_las.errors import DeviceError
from edge_las.runtime.announce import announced

pytest.importorskip("zeroconf")


def test_an_announced_server_is_found():
    async def find():
        from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

        kind = "_wyoming._tcp.local."
        async with announced("tcp://127.0.0.1:10300", "edge-las-test"):
            looking = AsyncZeroconf(interfaces=["127.0.0.1"])
            info = AsyncServiceInfo(kind, f"edge-las-test.{kind}")
            try:
                assert await info.async_request(looking.zeroconf, 3000)
            finally:
                await looking.async_close()
            return info

    info = asyncio.run(find())
    assert (info.port, info.parsed_addresses()) == (10300, ["127.0.0.1"])


@pytest.mark.parametrize("uri", ["unix:///run/socket", "tcp://127.0.0.1:0"])
def test_what_cannot_be_announced_is_an_error(uri):
    async def enter():
        async with announced(uri, "edge-las-test"):
            raise AssertionError("announced")

    with pytest.raises(DeviceError, match="only tcp://HOST:PORT"):
        asyncio.run(enter())
