"""A relay to an IMAP server that cuts the connection behind the N-th command line."""

import socket
import struct
import threading

from popbridge_process import PATIENCE_S


class _Link:
    """One relayed connection. Each socket is closed by the thread that reads it, and used by the
    other one only under the lock and before the end: a descriptor may be somebody else's then."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.cut = []  # the one that is this connection's: [lines that still go through, reset]
        self.settled = threading.Event()  # the server has done what it was told, and closed
        self._lock = threading.Lock()
        self._ended = False

    def pass_on(self, octets, to):
        with self._lock:
            if not self._ended:
                to.sendall(octets)

    def end(self, reset=False):
        """The client is cut off at once; the server hears that nothing more comes."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            for one, how in ((self.client, socket.SHUT_RD if reset else socket.SHUT_RDWR),
                             (self.server, socket.SHUT_WR)):
                try:
                    if reset and one is self.client:  # when it is closed
                        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack("ii", 1, 0))
                    one.shutdown(how)
                except OSError:
                    pass


class CuttingRelay:
    """One thread each way for each connection. Unarmed it relays."""

    def __init__(self, port):
        self.target = ("127.0.0.1", port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._lock = threading.Lock()
        self._cuts = []  # for one connection each: (lines that still go through, reset)
        self.cut = 0  # connections cut so far
        self._links = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self.listener.close()
        for link in self._links:
            link.end()

    def arm(self, *cuts):
        """Each (lines, reset): the connection that sends next is cut when so many more command
        lines went through; then the same for the next connection, which logs in first."""
        with self._lock:
            self._cuts = [list(cut) for cut in cuts]
            self.cut = 0

    def disarm(self):
        with self._lock:
            self._cuts = []

    def wait_until_settled(self):
        """For the server to have ended what it was told on connections that are cut."""
        for link in self._links:
            if link.cut and not link.settled.wait(PATIENCE_S):
                raise AssertionError("the server goes on with a connection that is cut")

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            link = _Link(client, socket.create_connection(self.target))
            for one in (link.client, link.server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._links.append(link)
            for way in (self._up, self._down):
                threading.Thread(target=way, args=(link,), daemon=True).start()

    def _up(self, link):
        reset = False
        try:
            while octets := link.client.recv(65536):
                for line in octets.splitlines(keepends=True):
                    if self._is_last(link):
                        reset = link.cut[0][1]
                        return
                    link.pass_on(line, link.server)
        except OSError:
            pass
        finally:
            link.end(reset)
            link.client.close()

    def _is_last(self, link):
        with self._lock:
            if not link.cut and self._cuts:
                link.cut.append(self._cuts.pop(0))
            if not link.cut:
                return False
            if link.cut[0][0] == 0:
                self.cut += 1
                return True
            link.cut[0][0] -= 1
            return False

    @staticmethod
    def _down(link):
        try:
            while octets := link.server.recv(65536):
                link.pass_on(octets, link.client)
        except OSError:
            pass
        finally:
            link.end()
            link.server.close()
            link.settled.set()
