"""The rules: which backends a contract allows one request, given the pool and what its key may be bound to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limpet.harness.model.contract import Contract, Stated
from limpet.harness.model.contract.stated import may, must
from limpet.harness.model.oracle.bindings import Binding, Home
from limpet.harness.model.oracle.carried import unknown_may_stay_unknown, use_binds
from limpet.harness.model.oracle.crowding import Crowding
from limpet.harness.model.oracle.exchanges import Exchange
from limpet.harness.model.oracle.lifetime import Lifetime
from limpet.harness.model.oracle.pool import MEMBERSHIP, OPENNESS, Pool, View


@dataclass(frozen=True)
class Reaction:
    """What a word of the contract lets happen to a pinned client whose backend is removed, unhealthy or draining.

    ``home``: the backend still answers it. ``anew``: it is placed anew. ``fails``: it gets an error. ``keeps``: after
    being answered elsewhere it is still bound to that backend. ``forgets``: the binding is gone for good.
    """

    home: bool = False
    anew: bool = False
    fails: bool = False
    keeps: bool = False
    forgets: bool = False


REACTIONS = {
    "repin": Reaction(anew=True, forgets=True),
    "reroute": Reaction(anew=True, keeps=True),
    "refuse": Reaction(fails=True),
    "stay": Reaction(home=True, fails=True),
    "keep": Reaction(home=True),
}
NOT_PROMISED = Reaction(home=True, anew=True, fails=True, keeps=True, forgets=True)


def reaction(stated: Stated[str] | None) -> Reaction:
    """What any of the allowed words lets happen; what is absent or inferred lets everything happen."""
    if stated is None or not stated.binding:
        return NOT_PROMISED
    words = [REACTIONS[word] for word in stated.allowed]
    return Reaction(
        home=any(each.home for each in words),
        anew=any(each.anew for each in words),
        fails=any(each.fails for each in words),
        keeps=any(each.keeps for each in words),
        forgets=any(each.forgets for each in words),
    )


@dataclass(frozen=True)
class Allowed:
    """What is allowed: an answer of one of these backends; a failure where ``may_fail`` or ``must_fail``.

    ``must_fail``: only a failure is right.
    """

    backends: frozenset[str]
    may_fail: bool = False

    @property
    def must_fail(self) -> bool:
        """Whether no answer at all is allowed."""
        return not self.backends and self.may_fail

    def __or__(self, other: Allowed) -> Allowed:
        """Either of two."""
        return Allowed(self.backends | other.backends, self.may_fail or other.may_fail)


@dataclass(frozen=True)
class _Loss:
    """One way in which backends get lost to their clients."""

    maybe: frozenset[str]
    sure: frozenset[str]
    reaction: Reaction


class Rules:
    """A contract applied to the pool as it was."""

    def __init__(self, contract: Contract, pool: Pool, lifetime: Lifetime, crowding: Crowding | None = None) -> None:
        self._crowding = crowding
        self.contract = contract
        self.pool = pool
        self.lifetime = lifetime
        said = contract.reaction
        self.removed = reaction(_words(said.removed))
        self.unhealthy = reaction(_words(said.unhealthy))
        self.draining = reaction(_words(said.draining))
        self.by_use = (
            contract.affinity in ("source-ip", "flow") or must(said.bad_cookie, "accept") or use_binds(contract)
        )
        """Whether a mere use binds a key: an address does, an invented cookie value does not."""
        tables = ("app-cookie", "header", "url", "tls-session-id")
        self.may_learn = self.by_use or contract.affinity in tables or may(said.bad_cookie, "accept")
        """Whether a mere use may bind a key that nobody is known to have handed out."""
        self.unknown_stays = not self.by_use and unknown_may_stay_unknown(contract)
        """Whether a key that was forgotten may go on without being bound by its use."""
        self._may_refuse = may(said.bad_cookie, "refuse")
        self._may_go_home, self._must_go_home = may(said.recovered, "return"), must(said.recovered, "return")
        cookie = contract.cookie
        self.names_servers = cookie is not None and must(cookie.value, "server-id")
        """Whether a value of the balancer's cookie is the name of one server, the same for all its users."""
        self._lost: dict[View, tuple[_Loss, ...]] = {}
        self._placed_anew: dict[View, Allowed] = {}
        self._forgetting = self._verbs_that_unbind()
        self._dropping = self._forgetting - (OPENNESS - {"add"})
        if contract.cookie is not None:
            # What the balancer wrote down itself is lost with its memory, not when the pool changes.
            self._dropping -= MEMBERSHIP

    # Whole requests.

    def allowed(self, exchange: Exchange, each: Sequence[Allowed]) -> Allowed:
        """What is allowed one request, given what each of its keys allows: whatever any of them does."""
        now = self.pool.view(exchange.begin, exchange.end)
        result = Allowed(frozenset(), may_fail=now.disturbed)
        for one in each:
            result |= one
        if not each or not exchange.certain or self.contract.affinity == "none":
            result |= self._anew(now)
        return result

    def pinned(self, exchange: Exchange, binding: Binding) -> Allowed:
        """What one key allows, given what is known about it."""
        now = self.pool.view(exchange.begin, exchange.end)
        if not binding.bound:
            refused = not self.by_use and self._may_refuse
            return self._anew(now) | Allowed(frozenset(), may_fail=refused)
        proper = self._must_be_home(exchange, binding, now)
        if proper:
            return Allowed(frozenset({proper}))
        result = Allowed(frozenset())
        for name, home in binding.homes.items():
            result |= self._at_home(name, self.pool.view(home.since, exchange.end), now)
        over = self.lifetime.maybe_over(binding, exchange)
        if now.maybe_unsticky or self.ended(binding, exchange):
            result |= self._anew(now)
            if over and self._may_refuse:
                result |= Allowed(frozenset(), may_fail=True)
        back = self._may_return(binding, now)
        return result | Allowed(back, may_fail=bool(back & now.maybe_down))

    def _anew(self, now: View) -> Allowed:
        """A request that is placed like a new session; a view is always the same one for the same state of the pool."""
        found = self._placed_anew.get(now)
        if found is None:
            found = self._placed_anew[now] = self._place_anew(now)
        return found

    def _place_anew(self, now: View) -> Allowed:
        backends = set(now.maybe_open)
        backends |= {name for name in now.known & now.maybe_out if self.removed == NOT_PROMISED}
        present = now.known - now.sure_out
        if self.unhealthy.home:
            backends |= present & now.sure_down - now.sure_draining
        if self.draining == NOT_PROMISED:
            backends |= present & now.sure_draining - (frozenset() if self.unhealthy.home else now.sure_down)
        if not now.sure_open and may(self.contract.reaction.all_down, "fail-open"):
            backends |= present
        in_grace = bool((now.maybe_down - now.sure_down) & present) or bool(now.maybe_out - now.sure_out)
        careless = self.unhealthy.home and bool(now.maybe_down & present)
        return Allowed(frozenset(backends), may_fail=in_grace or careless or not now.sure_open)

    def meanwhile(self, exchange: Exchange, binding: Binding) -> Allowed:
        """What is allowed besides, since overlapping requests may have bound the key anew."""
        now = self.pool.view(exchange.begin, exchange.end)
        result = Allowed(frozenset())
        for name, home in binding.rebinding.items():
            if home.end >= exchange.begin:
                result |= self._at_home(name, self.pool.view(home.since, exchange.end), now)
        return result

    # One possible home of a key.

    def _at_home(self, name: str, since: View, now: View) -> Allowed:
        home = name in now.known
        anew = fails = False
        sure: list[Reaction] = []
        for loss_now, loss_since in zip(self._losses(now), self._losses(since), strict=True):
            what = loss_now.reaction
            if name in loss_now.maybe:
                anew |= what.anew
                fails |= what.fails or name in now.maybe_down - now.sure_down or name in now.maybe_out - now.sure_out
                if name in loss_now.sure and not (what is self.draining and name in now.maybe_down | now.maybe_out):
                    sure.append(what)
            elif name in loss_since.maybe:
                # Gone and back without a request: it may have been forgotten the moment it went.
                anew |= what.forgets
        # Of several troubles at once the balancer may look at any, though whoever is down is not merely draining.
        home = home and (not sure or any(each.home for each in sure))
        result = Allowed(frozenset({name} if home else ()), may_fail=fails)
        return result | self._anew(now) if anew else result

    def kept(self, binding: Binding, exchange: Exchange, answered: str, *, replaced: bool) -> dict[str, Home]:
        """The homes that the key may still have although ``answered`` answered: it left them without a new binding.

        ``replaced``: the answer handed out another value instead; this one may go on saying what it always said.
        """
        return {
            name: home
            for name, home in binding.homes.items()
            if name != answered
            and any(
                name in loss.maybe and (loss.reaction.keeps or replaced)
                for loss in self._losses(self.pool.view(home.since, exchange.end))
            )
        }

    def lost(self, binding: Binding, exchange: Exchange) -> frozenset[str]:
        """The homes that may have been lost by now."""
        return frozenset(
            name
            for name, home in binding.homes.items()
            for loss in self._losses(self.pool.view(home.since, exchange.end))
            if name in loss.maybe
        )

    def _losses(self, view: View) -> tuple[_Loss, ...]:
        found = self._lost.get(view)
        if found is None:
            found = self._lost[view] = (
                _Loss(view.maybe_out, view.sure_out, self.removed),
                _Loss(view.maybe_down, view.sure_down, self.unhealthy),
                _Loss(view.maybe_draining, view.sure_draining, self.draining),
            )
        return found

    # Going home.

    def _may_return(self, binding: Binding, now: View) -> frozenset[str]:
        if not self._may_go_home:
            return frozenset()
        at_home = (
            (binding.former | binding.homes.keys()) - now.sure_out - now.sure_down if self.draining.home else set()
        )
        return binding.absent & (now.maybe_open | at_home)

    def _must_be_home(self, exchange: Exchange, binding: Binding, now: View) -> str:
        """The one backend that a mode which goes home must choose; "" where that is not certain."""
        if binding.proper is None or not self._must_go_home:
            return ""
        name, since = binding.proper
        if not _whole(now) or binding.superseded or binding.free or now.maybe_unsticky or not exchange.certain:
            return ""
        verbs = self.pool.view(since, exchange.end).verbs
        if verbs & (MEMBERSHIP | self._forgetting - OPENNESS) or self.lifetime.maybe_over(binding, exchange):
            return ""
        return name

    def proper(
        self, before: tuple[str, float] | None, exchange: Exchange, answered: str, left: frozenset[str] = frozenset()
    ) -> tuple[str, float] | None:
        """Where the key belongs as long as the pool is whole, after this answer.

        Of who had left a backend that was a member no more then, nobody says whether that stays its home.
        """
        now = self.pool.view(exchange.begin, exchange.end)
        if _whole(now) and not now.maybe_unsticky:
            return None if left & now.maybe_out else (answered, exchange.begin)
        return before

    def absent(self, exchange: Exchange) -> frozenset[str]:
        """The backends that may not have been open while this request was placed."""
        now = self.pool.view(exchange.begin, exchange.end)
        return now.known - now.sure_open

    # What ends everybody's binding.

    def _verbs_that_unbind(self) -> frozenset[str]:
        said = self.contract.reaction
        verbs: set[str] = set()
        placed = self.contract.hash
        if placed is not None and must(placed.kind, "consistent"):
            # Only what may take keys from others: whoever leaves or closes hands on its own alone.
            verbs |= MEMBERSHIP - {"remove", "reorder"}
        elif may(said.added, "remap"):
            verbs |= MEMBERSHIP
            if said.added is not None or self.by_use:
                verbs |= OPENNESS  # who remaps spreads its keys over whoever is open
        if may(said.restart, "lose"):
            verbs.add("restart")
        if may(said.reload, "lose"):
            verbs |= {"reload", "change"}
        if may(said.toggled, "lose"):
            verbs |= {"affinity-off", "affinity-on"}
        return frozenset(verbs)

    def maybe_forgotten(self, binding: Binding, exchange: Exchange) -> bool:
        """Whether nobody may know the key any more: as `ended`, or dropped when its backend went."""
        return self.ended(binding, exchange) or any(
            name in loss.maybe and loss.reaction.forgets
            for name, home in binding.homes.items()
            for loss in self._losses(self.pool.view(home.since, exchange.end))
        )

    def ended(self, binding: Binding, exchange: Exchange) -> bool:
        """Whether the key may have been bound to nobody any more: by age, or because everybody's binding ended."""
        return self._ended(binding, exchange, self._forgetting)

    def dropped(self, binding: Binding, exchange: Exchange) -> bool:
        """Whether nobody may know the key any more, without a promise that it is bound anew.

        Not because another one went or came back: who spreads its keys over whoever is open knows them still.
        """
        if self._ended(binding, exchange, self._dropping):
            return True
        return any(
            name in loss.maybe and loss.reaction == NOT_PROMISED
            for name, home in binding.homes.items()
            for loss in self._losses(self.pool.view(home.since, exchange.end))
        )

    def _ended(self, binding: Binding, exchange: Exchange, verbs: frozenset[str]) -> bool:
        if binding.free or self.lifetime.maybe_over(binding, exchange):
            return True
        if self._crowding is not None and self._crowding.maybe_out(binding.key, exchange):
            return True
        return bool(self.pool.view(binding.since, exchange.end).verbs & verbs)


def _whole(view: View) -> bool:
    """Whether every member was open all the time."""
    return view.known - view.sure_out == view.sure_open


def _words(stated: object) -> Stated[str] | None:
    """A field whose words are literals, as one of plain words."""
    return stated if isinstance(stated, Stated) else None
