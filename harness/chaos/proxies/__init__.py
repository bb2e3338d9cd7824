"""Fault proxies: what a deployment's wires are made of."""

from __future__ import annotations
