"""The oracle: for every request of a history, the backends that the contract allows.

Read `rules` for what a contract's words mean, `bindings` and `learning` for what is known about a key, `judge` for how
it comes together.
"""

from limpet.harness.model.oracle.arrivals import Deliveries, delivered, deliveries
from limpet.harness.model.oracle.judge import Judged, Oracle, Verdicts

__all__ = ["Deliveries", "Judged", "Oracle", "Verdicts", "delivered", "deliveries"]
