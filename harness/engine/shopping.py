"""One user's shopping, as a story: what it put into the cart, where it went, and whether all that is still there."""

from __future__ import annotations

from limpet.harness.clients import Exchange
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.history import Header
from limpet.harness.model.violation import Kind
from limpet.harness.network.vantage import Vantage

_FORM: Header = ("Content-Type", "application/x-www-form-urlencoded")


class Shopper:
    """A user with a login and a cart who goes from place to place with the same cookies.

    Below layer 7 there is neither: there the story is of connections alone.

    Args:
        scenario: whose user it is.
        place: where it begins.
        words: how the report says where that is.
        told: headers that somebody on the way adds to all of its requests.
    """

    def __init__(self, scenario: Scenario, place: Vantage, words: str, *, told: tuple[Header, ...] = ()) -> None:
        self._told = told
        self._s = scenario
        self._user = self._first = scenario.at(place)
        self._words = words
        self._shop = scenario.contract.layer == 7
        who = self._first.persona
        assert who is not None, "users of a scenario have a face"
        self._who = who
        self._instance = self.home = ""
        self._missing: list[tuple[Exchange, str]] = []
        self.kept = self.looks = 0

    @property
    def name(self) -> str:
        """What the report calls this user."""
        return self._first.name

    def fill(self) -> None:
        """Logs in and puts this person's goods into the cart."""
        first = self._visit(())  # before anything else, because by this an application may hand out its own cookie
        if not self._shop:
            self._s.step(f"{self.name}, {self._words}, begins at {first.backend or 'nobody'}")
            return
        answers = [self._post("/login", f"user={self._who.email}")]
        answers += [self._post("/cart", f"item={item.replace(' ', '+')}") for item in self._who.cart]
        lives = {answer.instance for answer in answers}
        # Who is not pinned may have logged in here and filled the cart there; the oracle says whether that is wrong.
        whole = len(lives) == 1 or self._s.system.shared_sessions
        self._instance = answers[-1].instance if whole else ""
        self.home = answers[-1].backend
        goods = ", ".join(self._who.cart)
        what = f"logs in and puts {goods} into the cart, all at {self.home or 'nobody'}"
        self._s.step(
            f"{self.name}, {self._words}, {what if whole else 'finds its login and its cart at different ones'}"
        )

    def go(self, place: Vantage, words: str, *, told: tuple[Header, ...] = ()) -> None:
        """From now on its connections come from there."""
        self._told = told
        self._user.close()
        self._user = self._s.moved(self._first, place)
        self._words = words

    def look(self, times: int, headers: tuple[Header, ...] = ()) -> None:
        """So many looks at the cart, each on a new connection and with strangers before it, told as one step."""
        met: list[str] = []
        there = 0
        for _ in range(times):
            self._s.scramble()
            answer = self._visit(headers)
            met.append(answer.backend if answer.ok and answer.backend else "nobody")
            if not answer.ok or not answer.backend or not self._shop:
                continue
            self.looks += 1
            if self._remembered(answer):
                there += 1
            else:
                self._missing.append((answer, self._instance))
        self.kept += there
        found = "; login and cart are there" if there else "; logged out, and the cart is empty"
        found += f" {there} times" if 0 < there < times else ""
        backends = " and ".join(dict.fromkeys(met))
        self._s.step(f"{self.name}, {self._words}: {times} visits reach {backends}{found if self._shop else ''}")

    def settle(self) -> None:
        """Decides about all looks: data may be missing only at another backend, and from a shared store never.

        Whether the user may lawfully have been at another backend is the oracle's to say.
        """
        self._s.decided += self.kept
        for answer, instance in self._missing:
            if self._s.system.shared_sessions or (instance and answer.instance == instance):
                text = f"{self.name} found neither login nor cart at {answer.backend}, where both were left"
                self._s.broken(Kind.SESSION_LOST, text, answer)
                return

    def _visit(self, headers: tuple[Header, ...]) -> Exchange:
        if not self._shop:
            return self._user.visit(new_connection=True)
        self._user.close()
        return self._user.request("GET", self._s.system.loaded.target.request.path, headers=(*self._told, *headers))

    def _post(self, path: str, form: str) -> Exchange:
        return self._user.request("POST", path, headers=(_FORM, *self._told), body=form.encode())

    def _remembered(self, answer: Exchange) -> bool:
        page = answer.json()
        return isinstance(page, dict) and page.get("user") == self._who.email and page.get("cart") == [*self._who.cart]


def told(scenario: Scenario, shoppers: list[Shopper]) -> None:
    """Decides about all of them, and says in one line what became of them."""
    for shopper in shoppers:
        shopper.settle()
    looks, kept = sum(each.looks for each in shoppers), sum(each.kept for each in shoppers)
    if looks:
        scenario.observe(f"login and cart were there at {kept} of {looks} visits")
