"""Certificates for tests, and a proxy that speaks TLS before a server that does not.

The embedded Valkey is built without TLS; what is under test is the client, so the proxy stands in.
"""

import ipaddress
import selectors
import socket
import ssl
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_Key = ec.EllipticCurvePrivateKey


class Authority:
    """A certificate authority of one test; files are named after what they are for.

    Args:
        folder: where all files go.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("a test's authority")
        made = self._builder(self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        usage = x509.KeyUsage(
            *(True, False, False, False, False, True, True, False, False)  # signs, and revokes
        )
        made = made.add_extension(usage, critical=True)
        self.file = folder / "ca.pem"
        certificate = made.sign(self._key, hashes.SHA256())
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(self, name: str, *addresses: str) -> tuple[Path, Path]:
        """Return files with a certificate for ``addresses``, and with its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ipaddress.ip_address(text)) for text in addresses]
        made = self._builder(_name(name), key)
        if names:
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = made.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = made.add_extension(authority, critical=False)
        paths = self._folder / f"{name}.pem", self._folder / f"{name}-key.pem"
        paths[0].write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return paths

    def _builder(self, subject: x509.Name, key: _Key) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        public = key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class TlsProxy:
    """Takes TLS connections, with a certificate of the client's, and passes on what is in them.

    Args:
        port: of the server behind it, on loopback.
        files: its certificate and key.
        authority: whose certificates clients must show.
    """

    def __init__(self, port: int, files: tuple[Path, Path], authority: Authority) -> None:
        self._behind = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*files)
        self._context.load_verify_locations(authority.file)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self.passed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                link = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        with (
            suppress(OSError),
            link,
            self._context.wrap_socket(link, server_side=True) as inside,
            socket.create_connection(("127.0.0.1", self._behind)) as server,
        ):
            self.passed += 1
            self._pump(inside, server)

    def _pump(self, inside: ssl.SSLSocket, server: socket.socket) -> None:
        # one thread reads and writes an SSL socket: two at once would have to share a lock
        inside.setblocking(False)
        with selectors.DefaultSelector() as waiting:
            waiting.register(inside, selectors.EVENT_READ)
            waiting.register(server, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in waiting.select()}
                if inside in ready and not self._inward(inside, server):
                    return
                if server in ready:
                    data = server.recv(65536)
                    if not data:
                        return
                    _send(inside, data)

    def _inward(self, inside: ssl.SSLSocket, server: socket.socket) -> bool:
        while True:
            try:
                data = inside.recv(65536)
            except ssl.SSLWantReadError:
                return True
            if not data:
                return False
            server.sendall(data)

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()


def _send(inside: ssl.SSLSocket, data: bytes) -> None:
    inside.setblocking(True)
    inside.sendall(data)
    inside.setblocking(False)
