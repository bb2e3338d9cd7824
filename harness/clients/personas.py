"""Simulated users with a face: a name, a browser, a language and a cart, so that a report reads like people.

The same seed and index give the same person, in whatever order they are asked for (with the same release of faker).
"""

from __future__ import annotations

import functools
import random
import re
import threading
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limpet.harness.model.history import Header

if TYPE_CHECKING:
    from faker import Faker

# Few locales, all in Latin script: each costs faker some tens of milliseconds to load.
LOCALES = ("en_GB", "de_DE", "fr_FR", "es_ES")
_LANGUAGES = {
    "en_GB": "en-GB,en;q=0.9",
    "de_DE": "de-DE,de;q=0.9,en;q=0.5",
    "fr_FR": "fr-FR,fr;q=0.9,en;q=0.5",
    "es_ES": "es-ES,es;q=0.9,en;q=0.5",
}
# RFC 2606 reserves these domains: no mail can ever reach a stranger.
_DOMAINS = ("example.com", "example.net", "example.org")
_GOODS = (
    "kettle", "lamp", "notebook", "umbrella", "teapot", "bicycle bell", "wool socks", "garden hose", "chess set",
    "rain coat", "desk fan", "tent", "mug", "backpack", "blanket", "compass", "guitar strings", "honey",
)  # fmt: skip
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Persona:
    """One simulated user. ``user_agent`` and ``accept_language`` are ASCII header values."""

    name: str
    city: str
    user_agent: str
    accept_language: str
    cart: tuple[str, ...]
    email: str

    @property
    def headers(self) -> tuple[Header, ...]:
        """The headers that this user's browser sends with every request."""
        return (("User-Agent", self.user_agent), ("Accept-Language", self.accept_language))


@functools.cache
def _faker(locale: str) -> Faker:
    from faker import Faker  # slow to import, so only when the first persona is drawn

    return Faker(locale)


@functools.lru_cache(maxsize=4096)
def persona(seed: int | str, index: int) -> Persona:
    """The person of this number in the run of this seed."""
    chance = random.Random(f"persona/{seed}/{index}")
    locale = chance.choice(LOCALES)
    with _lock:  # a Faker is one generator whose state the next line sets
        fake = _faker(locale)
        fake.seed_instance(chance.getrandbits(64))
        name = f"{fake.first_name()} {fake.last_name()}"
        # Not user_agent(): its Firefoxes were built in the year 4536.
        city, agent = fake.city(), fake.chrome(version_from=120, version_to=142, build_from=6000, build_to=7400)
    return Persona(
        name=name,
        city=city,
        user_agent=agent,
        accept_language=_LANGUAGES[locale],
        cart=tuple(chance.sample(_GOODS, chance.randint(1, 4))),
        email=f"{_slug(name)}@{chance.choice(_DOMAINS)}",
    )


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", ".", plain).strip(".") or "user"
