"""A relay between popbridge and its server that fails by a seeded schedule: connections that are
cut, reset, stalled, slowed down or damaged at a random octet, and times without any."""

import asyncio
import collections
import logging
import random
import re
import socket
import struct
import threading

_READ_OCTETS = 1 << 16
# How long the server may take to end its side once ours is closed.
_LINGER_S = 5.0
_KINDS = ("fin", "rst", "short stall", "long stall", "trickle", "damage")
# What popbridge's update looks like in clear: the most delicate moment. Not \Seen, which is stored
# before anything else and costs nothing.
_UPDATE = re.compile(rb"UID (STORE \S+ \S+ \((?!\\Seen)|EXPUNGE|MOVE)")


class _Plan:
    """What befalls one connection: at so many octets from one side, once."""

    def __init__(self, rng, faults, share):
        self.kind = rng.choice(faults) if faults and rng.random() < share else None
        self.from_server = rng.random() < 0.75
        self.offset = int(10 ** rng.uniform(0, 5.3 if self.from_server else 3.0))
        # An update that is seen has a fault of its own.
        self.update_kind = rng.choice(faults) if faults and rng.random() < share else None
        self.update_offset = rng.randint(-20, 90)
        self.seconds = rng.uniform(0.2, 1.0)
        self.passed = 0


class _End(Exception):
    pass


class FaultyRelay:
    """Relays to ("127.0.0.1", port). `share` of the connections have a fault. `stall_s` is longer
    than popbridge waits. One thread with an event loop; the methods may be called from others."""

    def __init__(self, port, seed, share=0.35, stall_s=4.0, damage=False):
        self.target, self.stall_s = port, stall_s
        self.faults = [kind for kind in _KINDS if damage or kind != "damage"]
        self.share = share
        self.random = random.Random(seed)
        self.counts = collections.Counter()
        self.refusing = 0  # so many of the next connections
        # Holds the port while nobody listens on it.
        self._holder = self._socket(0)
        self.port = self._holder.getsockname()[1]
        # It warns of each write to a connection that was cut, which is what we do here.
        logging.getLogger("asyncio").setLevel(logging.ERROR)
        self._loop = asyncio.new_event_loop()
        self._server = None
        self._links = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen())

    @staticmethod
    def _socket(port):
        end = socket.socket()
        end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        end.bind(("127.0.0.1", port))
        return end

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def outage(self):
        """Connections are refused until recover()."""
        self.counts["outage"] += 1
        self._do(self._close_server())

    def recover(self):
        self._do(self._listen())

    def cut_all(self, reset):
        self.counts["all cut"] += 1
        self._do(self._cut_all(reset))

    @property
    def open_connections(self):
        return len(self._links)

    def stop(self):
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._holder.close()

    # In the loop.

    async def _listen(self):
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, sock=self._socket(self.port),
                                                      limit=_READ_OCTETS)

    async def _close_server(self):
        if self._server is not None:
            self._server.close()
            self._server = None
            await asyncio.sleep(0)

    async def _cut_all(self, reset):
        for link in list(self._links):
            self._end(link, reset)

    async def _stop(self):
        await self._close_server()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    def _end(link, reset):
        """The client's side with FIN or RST, the server's always in order."""
        if reset and not link[0].is_closing():
            link[0].get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link[0].transport.abort()
        for writer in link:
            writer.close()

    async def _serve(self, reader, writer):
        if self.refusing > 0:  # what is to be made good on a new connection is not
            self.refusing -= 1
            writer.close()
            return
        plan = _Plan(self.random, self.faults, self.share)
        try:
            server_reader, server_writer = await asyncio.open_connection(
                "127.0.0.1", self.target, limit=_READ_OCTETS)
        except OSError:
            writer.close()
            return
        link = (writer, server_writer)
        self._links.add(link)
        pumps = [asyncio.create_task(self._pump(reader, server_writer, link, plan, False)),
                 asyncio.create_task(self._pump(server_reader, writer, link, plan, True))]
        try:
            await asyncio.gather(*pumps)
        except _End:
            pass
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._end(link, False)
            # What the server had received it may still do: the link is over when it has closed.
            try:
                await asyncio.wait_for(self._drain(server_reader), _LINGER_S)
            except (asyncio.TimeoutError, OSError):
                pass
            self._links.discard(link)

    @staticmethod
    async def _drain(reader):
        while await reader.read(_READ_OCTETS):
            pass

    async def _pump(self, reader, writer, link, plan, from_server):
        try:
            while octets := await reader.read(_READ_OCTETS):
                at = self._place(plan, octets, from_server)
                if at is None:
                    writer.write(octets)
                else:
                    writer.write(octets[:at])
                    await self._fault(plan, link, writer, octets[at:])
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        except OSError:
            raise _End from None

    def _place(self, plan, octets, from_server):
        """Where in these octets the fault is due, or None."""
        if plan.update_kind and not from_server and (found := _UPDATE.search(octets)):
            plan.kind, plan.update_kind = plan.update_kind, None
            self.refusing = self.random.choice((0, 0, 1, 2))
            return max(0, min(len(octets), found.start() + plan.update_offset))
        if plan.kind is None or from_server != plan.from_server:
            return None
        plan.passed += len(octets)
        over = plan.passed - plan.offset
        return len(octets) - over if over >= 0 else None

    async def _fault(self, plan, link, writer, rest):
        kind, plan.kind = plan.kind, None
        self.counts[kind] += 1
        if kind in ("fin", "rst"):
            await writer.drain()
            self._end(link, kind == "rst")
            raise _End
        if kind == "trickle":
            for at in range(0, min(len(rest), 60), 3):
                writer.write(rest[at:at + 3])
                await asyncio.sleep(0.02)
            rest = rest[60:]
        elif kind == "damage":
            rest = bytes([rest[0] ^ 0x20]) + rest[1:] if rest else b""
        else:
            await asyncio.sleep(plan.seconds if kind == "short stall" else self.stall_s)
        writer.write(rest)
