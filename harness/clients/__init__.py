"""What sends traffic: the readable client, the raw socket client, the bulk client, personas."""

from limpet.harness.clients.base import Endpoint, Exchange, Recorder
from limpet.harness.clients.bulk import run_bulk
from limpet.harness.clients.bulk_plan import BulkPlan, BulkResult
from limpet.harness.clients.concurrent import together
from limpet.harness.clients.http import HttpClient
from limpet.harness.clients.personas import Persona, persona
from limpet.harness.clients.raw import RawConnection
from limpet.harness.clients.sources import SourcePool
from limpet.harness.clients.tcp import TcpClient
from limpet.harness.clients.udp import UdpClient
from limpet.harness.clients.websocket import WebSocket

__all__ = [
    "BulkPlan",
    "BulkResult",
    "Endpoint",
    "Exchange",
    "HttpClient",
    "Persona",
    "RawConnection",
    "Recorder",
    "SourcePool",
    "TcpClient",
    "UdpClient",
    "WebSocket",
    "persona",
    "run_bulk",
    "together",
]
