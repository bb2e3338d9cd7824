"""What a backend remembers of its users: login and shopping cart."""

from __future__ import annotations

from limpet import Client, Exchange, Inconclusive, Kind, Observed, Scenario, behaviour
from limpet.harness.model.contract.stated import must


@behaviour(
    "failover.session-data",
    fields=("reaction.unhealthy",),
    needs=("kill", "sessions"),
    touches="backends",
    layers=(7,),
    error_rate=0.0,
    budget=150,
    sees=0.05,
)
def test_session_data(s: Scenario) -> None:
    """Login and cart are lost exactly when the backend is lost, or never where backends share a session store."""
    dead = s.rng.choice(s.names)
    alive = s.rng.choice([name for name in s.names if name != dead])
    shops = [Shop(s, s.pinned(name)) for name in (dead, dead, alive, alive)]
    for shop in shops:
        shop.fill()
    for shop in shops:
        with s.luck():
            shop.look()
    s.system.kill(dead)
    s.step("everybody looks at the cart again")
    shared = s.system.shared_sessions
    gone = known = 0
    for shop in shops[2:] + shops[:2]:
        with s.luck(s.n - 1):
            answer = shop.look(lost=shop.home == dead and not shared)
        if shop.home == dead and answer.ok:
            gone += not shop.remembered(answer)
            known += shop.remembered(answer)
            if not shared:
                shop.fill()
    s.step("everybody goes on with the session that the store has kept" if shared else "who lost all has begun anew")
    for _ in range(4):
        for shop in shops:
            with s.luck(s.n - 1):
                shop.look()
    judged = {each.exchange.sent.id: each for each in s.judge().judged}
    for shop in shops:
        shop.settle({id for id, each in judged.items() if each.violation is not None})
    if shared and not gone + known:
        raise Inconclusive("nobody else answered for the lost backend, so that nobody had to find a session there")
    text = f"{gone} of 2 users of the lost backend had to log in again, {sum(shop.kept for shop in shops)} looks found "
    text += "login and cart as they were"
    text += "; the backends share their sessions" if shared else ""
    if must(s.contract.reaction.unhealthy, "repin"):
        s.observe(text)
    else:
        raise Observed(text)


class Shop:
    """One user's shopping: what it put into the cart, and whether it is still there."""

    def __init__(self, s: Scenario, user: Client) -> None:
        self.user = user
        self.home = user.backend
        self.kept = 0
        self._s = s
        self._instance = ""
        self._items: list[str] = []
        self._missing: list[tuple[Exchange, str]] = []

    def fill(self) -> None:
        """Logs in and puts two things into the cart."""
        self._items = ["lamp", "kettle"]
        form = (("Content-Type", "application/x-www-form-urlencoded"),)
        answers = [self.user.request("POST", "/login", headers=form, body=b"user=ann")]
        for item in self._items:
            answers.append(self.user.request("POST", "/cart", headers=form, body=f"item={item}".encode()))
        whole = self._s.system.shared_sessions or len({answer.instance for answer in answers}) == 1
        # Who is no longer pinned may have logged in here and filled the cart there; the oracle says if that is wrong.
        self._instance = answers[-1].instance if whole else ""
        if whole:
            self._note(answers[-1])

    def look(self, *, lost: bool = False) -> Exchange:
        """One look at the cart, which must be as it was unless it is known to be lost."""
        answer = self.user.visit(new_connection=True)
        if answer.ok and not lost:
            self._note(answer)
        return answer

    def remembered(self, exchange: Exchange) -> bool:
        """Whether this answer knows who asks and what is in the cart."""
        page = exchange.json()
        return isinstance(page, dict) and page.get("user") == "ann" and page.get("cart") == self._items

    def _note(self, answer: Exchange) -> None:
        if self.remembered(answer):
            self.kept += 1
        elif answer.ok and answer.backend:
            self._missing.append((answer, self._instance))

    def settle(self, wrong: set[str]) -> None:
        """Decides about all looks: data may be missing only where a pin lawfully ended, and from a shared store never.

        Args:
            wrong: ids of the requests that the oracle calls violations.
        """
        self._s.decided += self.kept
        shared = self._s.system.shared_sessions
        for each, instance in self._missing:
            if not shared and each.instance != instance and each.sent.id not in wrong:
                return  # lawfully elsewhere, where another session may have taken the place of the one left behind
            where = "in the store that all backends share" if shared else f"at {self.home}"
            text = f"{self.user.name} found neither login nor cart at {each.backend}, left {where}"
            self._s.broken(Kind.SESSION_LOST, text, each)
            return
