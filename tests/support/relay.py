"""A TCP relay between popbridge and its upstream: records who said what, adds delay, holds back."""

import selectors
import socket
import threading
import time

_READ_OCTETS = 1 << 16


class _Link:
    """One relayed connection."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.queues = {client: [], server: []}  # [(due, octets)] waiting to be sent to that socket
        self.ended = set()


class Relay:
    """Listens on a free port and relays to ("127.0.0.1", port).

    `delay_s` holds every octet that long in each direction, so that octets sent in answer to
    something can be told from octets sent without waiting. All state is guarded by one lock; one
    thread moves the octets."""

    def __init__(self, port, delay_s=0.0):
        self.target = ("127.0.0.1", port)
        self.delay_s = delay_s
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._events = []  # ("connect"|"client"|"server"|"end", octets), in the client's order
        self._allowance = None  # octets that may still go from server to client; None: all
        self._from_server = 0
        self._lock = threading.Condition()
        self._wake_read, self._wake_write = socket.socketpair()
        self._stopping = self._cutting = False
        self._links = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Closes all connections and listens no more."""
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
        self._wake()
        self._thread.join()

    # For tests.

    def events(self):
        with self._lock:
            return list(self._events)

    def mark(self):
        """A place in the record for flights_since() and sent_since()."""
        with self._lock:
            return len(self._events)

    def flights_since(self, mark):
        """How often the client spoke after having listened: the round trips it waited for. Octets
        sent in several pieces without anything received in between are one flight; a LOGOUT, which
        nobody waits for, is none."""
        flights, listening = 0, True
        for kind, octets in self.events()[mark:]:
            if kind == "client" and listening and not octets.endswith(b" LOGOUT\r\n"):
                flights, listening = flights + 1, False
            elif kind in ("server", "connect"):
                listening = True
        return flights

    def sent_since(self, mark):
        """What the client sent."""
        return b"".join(octets for kind, octets in self.events()[mark:] if kind == "client")

    def connections(self):
        return sum(1 for kind, _ in self.events() if kind == "connect")

    @property
    def octets_from_server(self):
        """Octets handed to the client so far."""
        with self._lock:
            return self._from_server

    def hold_after(self, octets):
        """From now on so many octets go from server to client, and no more until release()."""
        with self._lock:
            self._allowance = octets
        self._wake()

    def release(self):
        with self._lock:
            self._allowance = None
        self._wake()

    def cut(self):
        """Ends all connections; new ones are relayed again. Returns when it is done."""
        with self._lock:
            self._cutting = True
            self._wake()
            self._lock.wait_for(lambda: not self._cutting)

    # The thread.

    def _wake(self):
        self._wake_write.send(b"x")

    def _run(self):
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.listener, selectors.EVENT_READ)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select(self._next_due()):
                if key.fileobj is self.listener:
                    self._accept()
                elif key.fileobj is self._wake_read:
                    self._wake_read.recv(_READ_OCTETS)
                else:
                    self._read(key.fileobj, key.data)
            with self._lock:
                if self._stopping:
                    break
                if self._cutting:
                    self._cut()
                for link in list(self._links):
                    self._flush(link)
                    self._balance(link)
        for link in self._links:
            link.client.close()
            link.server.close()
        for item in (self.listener, self._wake_read, self._wake_write, self._selector):
            item.close()

    def _cut(self):
        for link in self._links:
            for end in (link.client, link.server):
                if end in self._selector.get_map():
                    self._selector.unregister(end)
                end.close()
        self._links.clear()
        self._cutting = False
        self._lock.notify_all()

    def _next_due(self):
        due = [queue[0][0] for link in self._links for to, queue in link.queues.items()
               if queue and not self._held(link, to)]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _held(self, link, to):
        return to is link.client and self._allowance is not None and self._allowance <= 0

    def _accept(self):
        client, _ = self.listener.accept()
        try:
            server = socket.create_connection(self.target)
        except OSError:
            client.close()
            return
        link = _Link(client, server)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(end, selectors.EVENT_READ, link)
        with self._lock:
            self._links.append(link)
            self._events.append(("connect", b""))

    def _read(self, source, link):
        try:
            octets = source.recv(_READ_OCTETS)
        except OSError:
            octets = b""
        to = link.server if source is link.client else link.client
        with self._lock:
            if source is link.client and octets:
                self._events.append(("client", octets))
            link.queues[to].append((time.monotonic() + self.delay_s, octets))
            if not octets:
                link.ended.add(source)
        if not octets:
            self._selector.unregister(source)

    def _flush(self, link):
        for to, queue in link.queues.items():
            while queue and queue[0][0] <= time.monotonic() and not self._held(link, to):
                _, octets = queue.pop(0)
                if not octets:
                    self._shut(link, to)
                    continue
                if to is link.client and self._allowance is not None:
                    if len(octets) > self._allowance:
                        queue.insert(0, (0.0, octets[self._allowance:]))
                        octets = octets[:self._allowance]
                    self._allowance -= len(octets)
                if to is link.client:
                    self._events.append(("server", octets))
                    self._from_server += len(octets)
                self._send(link, to, octets)

    def _send(self, link, to, octets):
        """Blocks while the receiver is slow: with one connection that is the wanted
        back-pressure."""
        self._lock.release()
        try:
            to.sendall(octets)
        except OSError:
            self._shut(link, to)
        finally:
            self._lock.acquire()

    @staticmethod
    def _shut(link, to):
        try:
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _balance(self, link):
        """Stops reading a side whose octets wait in the relay, and forgets a link that is over."""
        for source, to in ((link.client, link.server), (link.server, link.client)):
            waiting = sum(len(octets) for _, octets in link.queues[to])
            registered = source in self._selector.get_map()
            wanted = source not in link.ended and waiting < 4 * _READ_OCTETS
            if registered and not wanted:
                self._selector.unregister(source)
            elif wanted and not registered:
                self._selector.register(source, selectors.EVENT_READ, link)
        if len(link.ended) == 2 and not any(link.queues.values()):
            link.client.close()
            link.server.close()
            self._links.remove(link)
            self._events.append(("end", b""))
