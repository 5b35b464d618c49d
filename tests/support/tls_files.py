"""Throw-away certificates for one test program, made by the openssl command."""

import subprocess
from pathlib import Path

from popbridge_process import need_tool


class Authority:
    """A certificate authority in a directory; issues server certificates in PEM files."""

    def __init__(self, directory, name="ca"):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.certificate = self.directory / f"{name}.pem"
        self._key = self.directory / f"{name}.key"
        self._run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                  "-nodes", "-days", "2", "-subj", f"/CN=popbridge test {name}",
                  "-addext", "basicConstraints=critical,CA:TRUE",
                  "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                  "-keyout", self._key, "-out", self.certificate)

    def issue(self, name, subject_alt_name="DNS:localhost,IP:127.0.0.1",
              key_type=("ec", "ec_paramgen_curve:prime256v1")):
        """Certificate (with its chain) and key for a server: two paths."""
        certificate = self.directory / f"{name}.pem"
        key = self.directory / f"{name}.key"
        request = self.directory / f"{name}.csr"
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={subject_alt_name}\n"
                              "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n")
        self._run("req", "-new", "-newkey", key_type[0], "-pkeyopt", key_type[1],
                  "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", request)
        self._run("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key,
                  "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", certificate)
        certificate.write_bytes(certificate.read_bytes() + self.certificate.read_bytes())
        key.chmod(0o600)
        return certificate, key

    @staticmethod
    def _run(*arguments):
        result = subprocess.run([need_tool("openssl"), *map(str, arguments)],
                                stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if result.returncode != 0:
            raise AssertionError(f"openssl {arguments[0]}: {result.stderr.decode()}")
