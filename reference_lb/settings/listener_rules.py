"""What may go together on the listener."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

from limpet.reference_lb.settings.config import Listener, Timeouts, Tls
from limpet.reference_lb.settings.problems import Problem


def transport_problems(listener: Listener) -> Iterator[Problem]:
    """Everything about TLS, HTTP/2 and whose word about a client's address counts."""
    if listener.protocol != "http":
        for key in ("tls", "http2", "forwarded"):
            if getattr(listener, key):
                yield Problem(f"listener.{key}", f'it needs protocol = "http", and protocol is "{listener.protocol}"')
    if listener.protocol == "udp" and listener.proxy_protocol:
        yield Problem("listener.proxy_protocol", "it needs connections, and UDP has none")
    if listener.protocol != "udp" and "flows" in listener.model_fields_set:
        yield Problem("listener.flows", f'it needs protocol = "udp", and protocol is "{listener.protocol}"')
    if listener.tls is not None:
        yield from _tls(listener.tls)
        if listener.proxy_protocol:
            yield Problem("listener.proxy_protocol", "it is not offered on a listener with TLS")
    if listener.forwarded and listener.proxy_protocol:
        yield Problem("listener.forwarded", "with proxy_protocol the address is known already: choose one of the two")
    asked = listener.forwarded is not None or listener.proxy_protocol
    if asked and not listener.trusted:
        yield Problem("listener.trusted", "name the networks of the proxies; from anybody else an address is forged")
    if listener.trusted and not asked:
        yield Problem("listener.trusted", "nothing is asked of these: set forwarded or proxy_protocol")


def timeout_problems(listener: Listener, timeouts: Timeouts) -> Iterator[Problem]:
    """Flows are UDP's."""
    if listener.protocol != "udp" and "flow" in timeouts.model_fields_set:
        yield Problem("timeouts.flow", f'it needs listener.protocol = "udp", and protocol is "{listener.protocol}"')


def _tls(tls: Tls) -> Iterator[Problem]:
    if tls.certificate is None:
        if tls.key is not None:
            yield Problem("listener.tls.key", "it needs listener.tls.certificate")
        if tls.publish is not None and not Path(tls.publish).absolute().parent.is_dir():
            yield Problem("listener.tls.publish", f"{tls.publish}: there is no such folder")
        return
    for key in ("names", "publish"):
        if getattr(tls, key):
            yield Problem(f"listener.tls.{key}", "it is for a certificate made at start, and one is configured")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key, password=lambda: "")
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        yield Problem("listener.tls.certificate", f"{tls.certificate} cannot be used: {error}")
