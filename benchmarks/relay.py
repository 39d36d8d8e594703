"""A TCP relay on loopback that delays all data, to simulate a distant S3."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

CHUNK = 65_536  # bytes
HOST = "127.0.0.1"


@contextmanager
def relay(port: int, round_trip: float) -> Iterator[str]:
    """Relays to a port on loopback; yields the relay's address.

    Each direction is delayed by half the round trip. The bandwidth is not limited.

    Args:
        port: of the server.
        round_trip: seconds.
    """
    loop = asyncio.new_event_loop()
    ready: list[str] = []
    started, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with _serving(port, round_trip / 2) as address:
            ready.append(address)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    started.wait()
    try:
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@asynccontextmanager
async def _serving(port: int, delay: float) -> AsyncIterator[str]:
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a handler of a connection is a task
        connections.add(task)
        with suppress(OSError, asyncio.CancelledError):
            there, answer = await asyncio.open_connection(HOST, port)
            await asyncio.gather(_copy(reader, answer, delay), _copy(there, writer, delay))
        writer.close()
        connections.discard(task)

    server = await asyncio.start_server(connected, HOST, 0)
    try:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in connections:
            task.cancel()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter, delay: float) -> None:
    """Copies a stream; each chunk arrives `delay` seconds after it was sent."""
    clock = asyncio.get_running_loop().time
    sent: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, chunk = await sent.get()
            if (wait := due - clock()) > 0:
                await asyncio.sleep(wait)
            if not chunk:
                target.write_eof()
                return
            target.write(chunk)
            await target.drain()

    delivering = asyncio.create_task(deliver())
    try:
        while chunk := await source.read(CHUNK):
            sent.put_nowait((clock() + delay, chunk))
        sent.put_nowait((clock() + delay, b""))
        await delivering
    finally:
        delivering.cancel()
