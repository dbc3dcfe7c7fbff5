"""The Wyoming server: accepts clients within its limits, and lets go of them."""

import asyncio
import contextlib
import sys
from concurrent.futures import Executor
from typing import Any
from urllib.parse import urlparse

from edge_las.errors import DeviceError
from edge_las.runtime.frames import ClientError
from edge_las.runtime.notify import notify, watchdog_s
from edge_las.runtime.session import Service, Session

# How long a client that is told of an error may go on sending before the line is cut.
LINGER_S = 1.0


class Server:
    """Serves until told to stop."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._sessions: dict[asyncio.Task[None], Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, uri: str, stop: asyncio.Event) -> None:
        """Listen at uri until stop is set.

        Raises: DeviceError if that address cannot be listened at.
        """
        listener = await self._listen(uri)
        where = _bound(listener, uri)
        name, limits = self._service.recognizer.manifest.name, self._service.limits
        _say(f"serving {name} on {where} (at most {limits.max_clients} clients)")
        watchdog = asyncio.create_task(_watch(self._service.pool))
        notify("READY=1")
        try:
            await stop.wait()
        finally:
            notify("STOPPING=1")
            watchdog.cancel()
            listener.close()
            await self._let_go()
            if uri.startswith("unix:"):
                with contextlib.suppress(OSError):
                    _remove_socket(urlparse(uri).path)
        _say("stopped")

    async def _listen(self, uri: str) -> asyncio.Server:
        url = urlparse(uri)
        limit = self._service.limits.header_bytes
        try:
            if url.scheme == "unix" and url.path:
                _remove_socket(url.path)
                return await asyncio.start_unix_server(self._connected, url.path, limit=limit, backlog=512)
            if url.scheme == "tcp" and url.hostname and url.port is not None:
                return await asyncio.start_server(
                    self._connected, url.hostname, url.port, limit=limit, backlog=512
                )
        except (OSError, OverflowError) as error:
            raise DeviceError(f"{uri}: {getattr(error, 'strerror', None) or error}") from None
        except ValueError:  # of url.port
            pass
        raise DeviceError(f"{uri}: must be tcp://HOST:PORT or unix:///PATH")

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        most = self._service.limits.max_clients
        if len(self._tasks) >= 2 * most:  # those being refused count too
            writer.transport.abort()
            return
        session = Session(self._service, reader, writer)
        refused = len(self._sessions) >= most
        task = asyncio.create_task(self._talk(session, reader, writer, refused))
        self._tasks.add(task)
        if not refused:
            self._sessions[task] = session
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._sessions.pop(task, None)

    async def _talk(
        self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, refused: bool
    ) -> None:
        address = writer.get_extra_info("peername")
        peer = _shown(address) if isinstance(address, tuple) else "a local client"
        try:
            if refused:
                raise ClientError("busy", f"{self._service.limits.max_clients} clients are being served")
            await session.run()
            await _close(writer, self._service.limits.write_s)
        except ClientError as error:
            _say(f"{peer}: {error.code}: {error}")
            await _dismiss(session, reader, writer, error)
        except (ConnectionError, OSError) as error:
            _say(f"{peer}: {error}")
        except Exception as error:  # a fault of ours must not be the end of the others
            _say(f"{peer}: {type(error).__name__}: {error}")
            await _dismiss(session, reader, writer, ClientError("internal", "the server failed"))
        finally:
            writer.transport.abort()

    async def _let_go(self) -> None:
        """End all sessions; transcripts being made get some time."""
        for task in self._tasks:
            session = self._sessions.get(task)
            if session is None or not session.finishing:
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._service.limits.grace_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _dismiss(
    session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, error: ClientError
) -> None:
    """Tell a client its error and close; what it still sends is read, or the error might get lost."""
    from wyoming.error import Error

    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(LINGER_S):
            await session.send(Error(text=str(error), code=error.code))
            writer.write_eof()
            while await reader.read(65536):
                pass


async def _close(writer: asyncio.StreamWriter, limit_s: float) -> None:
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(limit_s):
            await writer.wait_closed()


async def _watch(pool: Executor) -> None:
    """Tell systemd's watchdog that both this loop and the pool still turn."""
    every_s = watchdog_s()
    while every_s:
        await asyncio.get_running_loop().run_in_executor(pool, notify, "WATCHDOG=1")
        await asyncio.sleep(every_s)


def _bound(listener: asyncio.Server, uri: str) -> str:
    name: Any = listener.sockets[0].getsockname()
    return f"tcp://{_shown(name)}" if isinstance(name, tuple) else uri


def _shown(address: tuple[Any, ...]) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _remove_socket(path: str) -> None:
    """Remove the socket that an earlier server left; nothing else."""
    import os
    import stat

    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)


def _say(text: str) -> None:
    print(f"edge-las: {' '.join(text.split())}", file=sys.stderr, flush=True)
