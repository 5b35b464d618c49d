"""A relay to an IMAP server that cuts the connection behind the N-th command line."""

import socket
import struct
import threading


class CuttingRelay:
    """One thread each way for each connection. Unarmed it relays."""

    def __init__(self, port):
        self.target = ("127.0.0.1", port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._lock = threading.Lock()
        self._cuts = []  # for one connection each: (lines that still go through, reset)
        self.cut = 0  # connections cut so far
        self._sockets = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        for one in list(self._sockets):
            one.close()

    def arm(self, *cuts):
        """Each (lines, reset): the connection that sends next is cut when so many more command
        lines went through; then the same for the next connection, which logs in first."""
        with self._lock:
            self._cuts = [list(cut) for cut in cuts]
            self.cut = 0

    def disarm(self):
        with self._lock:
            self._cuts = []

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.target)
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.add(one)
            mine = []  # the cut that is this connection's
            threading.Thread(target=self._up, args=(client, server, mine), daemon=True).start()
            threading.Thread(target=self._down, args=(server, client), daemon=True).start()

    def _up(self, client, server, mine):
        try:
            while octets := client.recv(65536):
                for line in octets.splitlines(keepends=True):
                    if self._is_last(mine):
                        self._end(client, server, mine[0][1])
                        return
                    server.sendall(line)
        except OSError:
            pass
        self._end(client, server, False)

    def _is_last(self, mine):
        with self._lock:
            if not mine and self._cuts:
                mine.append(self._cuts.pop(0))
            if not mine:
                return False
            if mine[0][0] == 0:
                self.cut += 1
                return True
            mine[0][0] -= 1
            return False

    def _down(self, server, client):
        try:
            while octets := server.recv(65536):
                client.sendall(octets)
        except OSError:
            pass
        self._end(client, server, False)

    @staticmethod
    def _end(client, server, reset):
        for one in (client, server):
            try:
                if reset:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()
