"""What a backend speaks TLS with: a certificate of its own, made at its start, and sessions that it remembers."""

from __future__ import annotations

import datetime
import os
import ssl
import tempfile
from pathlib import Path

_VALID = datetime.timedelta(days=2)


def server_context() -> ssl.SSLContext:
    """TLS 1.2 or 1.3 without tickets: a client can go on with a session only where its id is known, which is here.

    The certificate proves nothing to anybody: who answers is told by the echo protocol.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    number, name = tempfile.mkstemp()
    try:
        with os.fdopen(number, "wb") as file:
            file.write(_made())
        context.load_cert_chain(name)  # there is no other way in than by a file
    finally:
        Path(name).unlink()
    return context


def _made() -> bytes:
    """A key and a self-signed certificate for it, PEM."""
    # Imported here, since no other backend needs it and it costs more than the rest of a start.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "limpet backend")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _VALID)
        .not_valid_after(now + _VALID)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
