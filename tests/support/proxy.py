"""A bad network between members and brokers.

async with proxies([node.address for node in kafka.nodes]) as network:
    ... detouring(network.detours) ...
    network.cut()
    with network.hole():
        ...
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial


class Network:
    """All connections of all proxies. `detours`: where to connect to instead, port by port."""

    def __init__(self) -> None:
        self.detours: dict[int, int] = {}
        self.cuts = 0
        """Connections that ended amid an answer."""
        self.holes = 0
        self.swallows = False
        self.late = 0.0
        """Seconds that every answer is under way for."""
        self.links: set[Link] = set()

    def cut(self) -> None:
        """Each connection ends amid the next answer on it."""
        for link in self.links:
            link.cut = True

    @contextmanager
    def hole(self) -> Iterator[None]:
        """Connections are accepted and nothing goes through, until the end of the block. What
        somebody has given up on by then is gone.
        """
        self.swallows = True
        self.holes += 1
        try:
            yield
        finally:
            self.swallows = False
            for link in list(self.links):
                link.deliver()


class Link:
    """A connection to a proxy, and the one from there to the broker."""

    def __init__(self, network: Network) -> None:
        self.cut = False
        self.dropped = False
        self.client = End(self)
        self.broker = End(self)
        self._network = network
        self._held: list[tuple[End, bytes]] = []
        self._under_way: deque[bytes] = deque()
        network.links.add(self)

    def receive(self, source: "End", data: bytes) -> None:
        late = self._network.late
        if late and source is self.broker:
            self._under_way.append(data)
            asyncio.get_running_loop().call_later(late, self._arrive)
        else:
            self.carry(source, data)

    def carry(self, source: "End", data: bytes) -> None:
        target = self.broker if source is self.client else self.client
        self._held.append((target, data))
        if self.cut and target is self.client and target.transport and not self._network.swallows:
            target.transport.write(data[: len(data) // 2])
            self._network.cuts += 1
            self.drop()
        else:
            self.deliver()

    def deliver(self) -> None:
        while self._held and not self._network.swallows and self._held[0][0].transport:
            target, data = self._held.pop(0)
            assert target.transport is not None
            target.transport.write(data)

    def _arrive(self) -> None:
        # The first of them, whichever timer it was; none, where the connection is lost.
        if self._under_way:
            self.carry(self.broker, self._under_way.popleft())

    def drop(self) -> None:
        self.dropped = True
        self._network.links.discard(self)
        self._held.clear()
        self._under_way.clear()
        for end in (self.client, self.broker):
            if end.transport:
                end.transport.abort()


class End(asyncio.Protocol):
    def __init__(self, link: Link) -> None:
        self.transport: asyncio.Transport | None = None
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self._link.dropped:
            # The other end went while this one was being connected.
            transport.abort()
        self._link.deliver()

    def data_received(self, data: bytes) -> None:
        self._link.receive(self, data)

    def connection_lost(self, _: Exception | None) -> None:
        self._link.drop()


@asynccontextmanager
async def proxies(addresses: Iterable[str]) -> AsyncIterator[Network]:
    """One before each of these."""
    network = Network()
    connecting: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()

    def accepting(host: str, port: int) -> End:
        link = Link(network)

        async def connect() -> None:
            try:
                await loop.create_connection(lambda: link.broker, host, port)
            except OSError:
                link.drop()

        task = loop.create_task(connect())
        connecting.add(task)
        task.add_done_callback(connecting.discard)
        return link.client

    servers = []
    for address in addresses:
        host, port = address.split(":")
        accept = partial(accepting, host, int(port))
        server = await loop.create_server(accept, "127.0.0.1", 0)
        network.detours[int(port)] = server.sockets[0].getsockname()[1]
        servers.append(server)
    try:
        yield network
    finally:
        for server in servers:
            server.close()
        while connecting:
            await asyncio.gather(*connecting)
        for link in list(network.links):
            link.drop()
        await asyncio.gather(*(server.wait_closed() for server in servers))
