from __future__ import annotations

import pytest

from limpet.harness.network.namespaces import missing, missing_filter


@pytest.fixture(scope="session")
def privileged() -> None:
    """Skips where no lab can be made."""
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def filtered(privileged: None) -> None:
    """Skips where a lab can have no NAT gateways."""
    if reason := missing_filter():
        pytest.skip(reason)
