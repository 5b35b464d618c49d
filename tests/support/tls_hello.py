"""A ClientHello, octet by octet."""

import os
import struct


def client_hello(server_name):
    """A ClientHello of TLS 1.3 with this SNI: the octets as they are, whatever a library would say
    to them. None: no SNI at all."""
    def vector(octets, size):
        return len(octets).to_bytes(size, "big") + octets

    def extension(number, octets):
        return struct.pack(">H", number) + vector(octets, 2)
    extensions = b""
    if server_name is not None:
        extensions += extension(0, vector(b"\0" + vector(server_name, 2), 2))
    extensions += extension(43, vector(b"\x03\x04", 1))           # supported_versions
    extensions += extension(10, vector(b"\0\x1d", 2))             # supported_groups: x25519
    extensions += extension(13, vector(b"\x04\x03\x08\x04", 2))   # signature_algorithms
    extensions += extension(51, vector(b"\0\x1d" + vector(b"\x09" + bytes(31), 2), 2))  # key_share
    body = (b"\x03\x03" + os.urandom(32) + vector(os.urandom(32), 1) + vector(b"\x13\x01", 2) +
            b"\x01\0" + vector(extensions, 2))
    message = b"\x01" + vector(body, 3)
    return b"\x16\x03\x01" + vector(message, 2)
