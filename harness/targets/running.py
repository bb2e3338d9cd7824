"""One running balancer: starts it (or finds it running), steers it by its verbs, stops it."""

from __future__ import annotations

import base64
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import limpet
from limpet.harness.model.contract import Contract
from limpet.harness.model.errors import SetupFault
from limpet.harness.processes import table
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import Lease, Seat
from limpet.harness.processes.process import Process
from limpet.harness.targets import contained, fingerprint, launching, steps, versions
from limpet.harness.targets.abilities import able, why_not
from limpet.harness.targets.addresses import url
from limpet.harness.targets.binaries import locate
from limpet.harness.targets.control import Step
from limpet.harness.targets.ending import CONFIGURES, End, shows_after
from limpet.harness.targets.load import LoadedTarget
from limpet.harness.targets.model import Target
from limpet.harness.targets.override import Override
from limpet.harness.targets.placeholders import fill
from limpet.harness.targets.render import Address, Member, Situation, render

__all__ = ["Member", "Override", "RunningTarget"]


class RunningTarget:
    """A target with its process, its addresses and the pool state that it was last told.

    Not thread-safe: one scenario steers it. ``workdir`` is made if need be and stays: it holds configuration and
    output. Its machine seems to run for ``ahead`` seconds longer than this one.
    """

    def __init__(
        self,
        loaded: LoadedTarget,
        *,
        keeper: Keeper,
        lease: Lease,
        workdir: Path,
        members: Sequence[Member],
        override: Override | None = None,
        secret: str = "",
        ipv6: bool = False,
        ahead: float = 0.0,
    ) -> None:
        self._loaded = loaded
        self._ahead = ahead
        self._keeper = keeper
        self._override = override or loaded.override
        self._process: Process | None = None
        self._launches, self._advanced = 0, 0.0
        self._version: str | None = None
        self._stopped = True
        self._steered: list[tuple[str, float, float]] = []
        workdir.mkdir(parents=True, exist_ok=True)
        endpoint = loaded.target.endpoint
        seat = Seat(*endpoint.address) if endpoint.given else lease.seat(launching.role(loaded.target.launch, ipv6))
        self.namespace, admin = seat.namespace, lease.seat("admin") if loaded.target.launch else Seat("", 0)
        spoken = loaded.target.backends.protocol
        self.scheme = endpoint.scheme if spoken == "http" else "tcp" if spoken == "tls" else spoken
        self._situation = Situation(
            balancer=Address(seat.host, seat.port, url(self.scheme, seat.host, seat.port)),
            admin=Address(admin.host, admin.port, url("http", admin.host, admin.port)),
            token=secrets.token_hex(16),
            secret=secret or base64.b64encode(secrets.token_bytes(32)).decode(),
            workdir=workdir.resolve(),
            python=sys.executable,
            generation=1,
            members=tuple(members),
            affinity_enabled=loaded.sticky,
        )

    @property
    def target(self) -> Target:
        """What its directory says."""
        return self._loaded.target

    @property
    def contract(self) -> Contract:
        """The promise that it is judged by."""
        return self._loaded.contract

    @property
    def host(self) -> str:
        """Where clients go."""
        return self._situation.balancer.host

    @property
    def port(self) -> int:
        """Where clients go."""
        return self._situation.balancer.port

    @property
    def url(self) -> str:
        """``http://host:port``, ``https://…``, ``tcp://…`` or ``udp://…``."""
        return self._situation.balancer.url

    @property
    def ca(self) -> str:
        """The file that its certificate must lead back to; "" for what this machine trusts."""
        ca = self.target.endpoint.ca
        return str(self.directory / fill(ca, self._values(), where=f"{self.name}: endpoint.ca")) if ca else ""

    @property
    def trusted(self) -> str | None:
        """The same, and None where any certificate is taken."""
        return self.ca if self.target.endpoint.verify else None

    @property
    def secret(self) -> str:
        """The key material that it is given, in base64; a second node of the same balancer has the same."""
        return self._situation.secret

    @property
    def members(self) -> tuple[Member, ...]:
        """The pool as it was last told."""
        return tuple(self._situation.members)

    @property
    def affinity_enabled(self) -> bool:
        """Whether stickiness is on, as it was last told."""
        return self._situation.affinity_enabled

    def start(self) -> None:
        """Render, launch and wait until it serves; where it runs already, check that it answers.

        Raises:
            SetupFault: it did not come up, with its own last output; its process is gone then.
            UsageFault: a template is wrong.
        """
        if self.target.launch is None:
            launching.check_answers(self.target, self.host, self.port, self.url, name=self.name, ca=self.ca)
            if self.target.control.apply:
                self._do("apply", (*self.target.control.apply, *self.target.control.settled))
            self.check_fingerprint()
            return
        first = self._launches == 0
        if first:
            versions.check(self._loaded)
        try:
            self._launch()
            if first and self.affinity_enabled:  # later its backends may be down on purpose
                self.check_fingerprint()
        except BaseException:
            self.stop()
            raise

    def apply(self, members: Sequence[Member], *, affinity_enabled: bool = True) -> None:
        """Bring the balancer to a pool state and see it settled.

        Raises:
            SetupFault: it has no way to, or a step failed.
        """
        self._need("apply")
        here = self._situation
        self._situation = replace(
            here, members=tuple(members), affinity_enabled=affinity_enabled, generation=here.generation + 1
        )
        self._do("apply", (*self.target.control.apply, *self.target.control.settled))

    def set_affinity(self, enabled: bool) -> None:
        """Stickiness off or on, everything else as it is."""
        self._need("affinity")
        control = self.target.control
        if not control.affinity_on:
            self.apply(self.members, affinity_enabled=enabled)
            return
        self._situation = replace(self._situation, affinity_enabled=enabled)
        verb = "affinity_on" if enabled else "affinity_off"
        self._do(verb, (*(control.affinity_on if enabled else control.affinity_off), *control.settled))

    def reload(self) -> None:
        """Reload the unchanged configuration and see it settled."""
        self._need("reload")
        self._situation = replace(self._situation, generation=self._situation.generation + 1)
        self._do("reload", (*self.target.control.reload, *self.target.control.settled))

    def change(self) -> None:
        """Change something of its configuration that has nothing to do with stickiness, and see it settled."""
        self._need("change")
        self._situation = replace(self._situation, generation=self._situation.generation + 1)
        self._do("change", (*self.target.control.change, *self.target.control.settled))

    def restart(self) -> None:
        """Stop and start it, at the same addresses, with the pool that it knows and the clock where it was."""
        self._need("restart")
        restart = self.target.control.restart
        if isinstance(restart, str):
            if self.ended():
                raise steps.fault(self, "the balancer had ended before", where=f"{self.name}: restart")
            self.stop()
            self.start()
            if self._advanced:
                self._advance(self._advanced)
        else:
            self._do("restart", (*restart, *self.target.control.settled))

    def advance_clock(self, seconds: float) -> None:
        """Move its affinity clock. A barrier is the caller's business: no request may be in flight."""
        self._need("advance_clock")
        self._advance(seconds)
        self._advanced += seconds

    def rotate_keys(self) -> None:
        """Let it issue cookies under a new key."""
        self._need("rotate_keys")
        self._do("rotate_keys", self.target.control.rotate_keys)

    def backend_verb(self, verb: str, name: str) -> None:
        """``kill``, ``hang`` or ``revive`` a backend that is the user's own.

        Raises:
            SetupFault: there is no such verb, or a step failed.
        """
        self._need(verb)
        backends = self.target.backends
        own: dict[str, tuple[Step, ...]] = {member.name: getattr(member, verb) for member in backends.member}
        if not own.get(name) and contained.act(self.target, verb, name):
            return
        self._do(f"backends.{verb}", own.get(name) or getattr(backends, verb), backend=name)

    def noticed(self, name: str, *, up: bool) -> bool | None:
        """Whether the balancer knows by now that a backend is up (or down); None: it cannot be asked."""
        control = self.target.control
        step = control.noticed_up if up else control.noticed_down
        if step is None:
            return None
        verb = "noticed_up" if up else "noticed_down"
        return steps.matches(self, step, self._values(backend=name), f"{self.name}: {verb}")

    def can(self, verb: str) -> bool:
        """Whether the target offers a verb; see `abilities`."""
        return able(self.target, verb)

    def why_not(self, verb: str) -> str:
        """The reason for *not checkable*."""
        return why_not(self.target, verb)

    def alive(self) -> bool:
        """Whether it runs, as far as limpet can know: what limpet did not launch counts as alive."""
        return self.target.launch is None or (self._process is not None and self._process.alive())

    def memory(self) -> int | None:
        """Bytes that it and its descendants hold in memory; None where limpet did not launch it, or it has ended."""
        return table.resident(self._process.pid) if self._process is not None and self._process.alive() else None

    def version(self) -> str:
        """What the balancer says it is; "" when nobody knows. Asked once."""
        if self._version is None:
            self._version = launching.version(self.target, self._values(), cwd=self.directory, name=self.name)
        return self._version

    def stop(self) -> None:
        """End its process and everything that it started. Idempotent; does nothing to what limpet did not launch."""
        if self._process is not None and self.target.launch is not None:
            # What ended before stays an end of its own.
            self._stopped = self.ended() is None
            self._process.end(grace=self.target.launch.stop_grace)

    # What steps need (steps.Balancer).

    @property
    def name(self) -> str:
        """The target's name."""
        return self.target.name

    @property
    def directory(self) -> Path:
        """The target's directory."""
        return self._loaded.directory

    @property
    def workdir(self) -> Path:
        """Where its files are."""
        return self._situation.workdir

    def text_of(self, template: str) -> str:
        """A template of the target, rendered for the current situation."""
        return render(self.directory, template, self._situation, self._loaded.own, self.target.options)

    def configuration(self, own: Contract) -> tuple[str, ...]:
        """What its configuration files would say, were it set up for this contract."""
        launch = self.target.launch
        names = [config.template for config in launch.config] if launch is not None else []
        return tuple(render(self.directory, name, self._situation, own, self.target.options) for name in names)

    def exit_code(self) -> int | None:
        """The exit code of its process, None while it lives or when limpet did not launch it."""
        return self._process.exit_code() if self._process is not None else None

    def signal(self, number: int) -> None:
        """Send a signal to its process.

        Raises:
            ProcessLookupError: it does not run, or limpet did not launch it.
        """
        if self._process is None:
            raise ProcessLookupError
        self._process.signal(number)

    def output(self) -> str:
        """Everything that it wrote since its last launch."""
        if self._process is None:
            return ""
        return self._process.output.read_text("utf-8", "replace")

    def last_lines(self) -> str:
        """The end of its output."""
        return self._process.last_lines() if self._process is not None else ""

    def died(self) -> bool:
        """Whether it was launched and has ended."""
        return self._process is not None and not self._process.alive()

    def ended(self) -> End | None:
        """How its process ended, where it served before and limpet did not stop it; None otherwise."""
        process = self._process
        code = process.exit_code() if process is not None and not self._stopped else None
        if process is None or code is None:
            return None
        at = process.ended_at
        return End(code, at, next((verb for verb, begin, end in self._steered if begin <= at <= end), ""))

    def _need(self, verb: str) -> None:
        if not self.can(verb):
            raise SetupFault(self.why_not(verb), where=self.name)

    def _do(self, verb: str, todo: Sequence[Step], *, backend: str = "", seconds: str = "") -> None:
        begin = time.monotonic()
        try:
            steps.run(self, verb, todo, self._values(backend=backend, seconds=seconds))
        finally:
            if verb in CONFIGURES:
                self._steered.append((verb, begin, time.monotonic() + shows_after(self.target)))

    def _advance(self, seconds: float) -> None:
        text = f"{seconds:.6f}".rstrip("0").rstrip(".")
        self._do("advance_clock", self.target.control.advance_clock, seconds=text)

    def _launch(self) -> None:
        launch = self.target.launch
        assert launch is not None
        here = self._situation
        for address in (here.balancer, here.admin):
            launching.check_free(address.host, address.port, name=self.name, namespace=self.namespace)
        for config in launch.config:
            steps.place(self.workdir / config.destination, self.text_of(config.template))
        self._launches += 1
        output = self.workdir / f"output-{self._launches}.log"
        values = self._values()
        self._process = launching.launch(
            launch, values, self._keeper, output=output, workdir=self.workdir, name=self.name,
            override=self._override, namespace=self.namespace, ahead=self._ahead,
        )  # fmt: skip
        launching.wait_ready(self, launch, fill(launch.ready_url, values, where=self.name))
        self._stopped = False

    def check_fingerprint(self) -> None:
        """See that the mode is on, as far as the target says what shows it.

        Raises:
            SetupFault: it is not.
        """
        fingerprint.check(self, self.target, self._values(), self.configuration(self._loaded.own), ca=self.ca)

    def _values(self, *, backend: str = "", seconds: str = "") -> dict[str, str]:
        here, launch = self._situation, self.target.launch
        values = {
            **here.balancer.named("balancer"),
            "workdir": str(here.workdir),
            "python": here.python,
            "target": str(self.directory),
            "generation": str(here.generation),
            "limpet.version": limpet.__version__,
            **{f"options.{name}": str(value) for name, value in self.target.options.items()},
        }
        if launch is not None:
            config = str(here.workdir / launch.config[0].destination) if launch.config else ""
            values |= here.admin.named("admin")
            values |= {"token": here.token, "config": config, "pid": str(self._process.pid if self._process else 0)}
            if launch.binary is not None:
                values[launch.binary.name] = locate(launch.binary, where=self.name)
        values |= {"seconds": seconds} if seconds else {}
        if backend:
            found = next((each for each in here.members if each.name == backend), None)
            if found is None:
                raise SetupFault(f'there is no backend "{backend}"', where=self.name)
            values |= {"backend.name": found.name, "backend.host": found.host, "backend.port": str(found.port)}
        return values
