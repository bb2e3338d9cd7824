"""The machine-readable promise of a profile, and the requirements it rests on."""

from limpet.harness.model.contract.catalogue import Catalogue, Requirement
from limpet.harness.model.contract.profile import Contract
from limpet.harness.model.contract.stated import Stated

__all__ = ["Catalogue", "Contract", "Requirement", "Stated"]
