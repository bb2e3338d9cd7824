"""TLS towards clients: the configured certificate, or one that is made for this run."""

from __future__ import annotations

import datetime
import os
import ssl
import tempfile
from ipaddress import ip_address
from pathlib import Path

from limpet.reference_lb.settings.config import Listener, Tls

_VALID = datetime.timedelta(days=30)
_CLOCKS = datetime.timedelta(days=1)
"""How far a client's clock may be behind."""


def server_context(listener: Listener) -> ssl.SSLContext | None:
    """What the listener speaks TLS with; None where it does not.

    Raises:
        OSError: the made certificate cannot be written where it is to be published.
    """
    tls = listener.tls
    if tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2", "http/1.1"] if listener.http2 else ["http/1.1"])
    if tls.certificate is not None:
        context.load_cert_chain(tls.certificate, tls.key)
        return context
    certificate, key = _made((listener.host, "localhost", *tls.names))
    _load(context, key + certificate)
    _publish(tls, certificate)
    return context


def _made(names: tuple[str, ...]) -> tuple[bytes, bytes]:
    """A self-signed certificate for these names and addresses, and its key, both PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    def general(name: str) -> x509.GeneralName:
        try:
            return x509.IPAddress(ip_address(name))
        except ValueError:
            return x509.DNSName(name)

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "limpet reference balancer")])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([general(name) for name in dict.fromkeys(names)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """By a file that only this user can read, and only for a moment: there is no other way in."""
    number, name = tempfile.mkstemp()
    try:
        with os.fdopen(number, "wb") as file:
            file.write(pem)
        context.load_cert_chain(name)
    finally:
        Path(name).unlink()


def _publish(tls: Tls, certificate: bytes) -> None:
    """At once: whoever reads it meets the old one or the new one."""
    if tls.publish is None:
        return
    path = Path(tls.publish)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(certificate)
    beside.replace(path)
