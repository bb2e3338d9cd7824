from __future__ import annotations

import socket
import struct
import threading

import pytest
from limpet_client_servers import always, answer, once

from limpet.harness.clients.base import Endpoint
from limpet.harness.clients.bulk import BulkPlan, run_bulk
from limpet.harness.clients.bulk_plan import BATCH
from limpet.harness.model.errors import HarnessFault, SetupFault


def pinning(peer):
    """Pins by cookie: a client without one gets a fresh value, one with it is told it back."""
    while (got := peer.request()) is not None:
        cookie = next((line[8:] for line in got[0] if line.startswith("Cookie: ")), "")
        value = cookie.removeprefix("pin=")
        more = [] if cookie else [f"Set-Cookie: pin={peer.address[0]}-{peer.address[1]}; Path=/", "Set-Cookie: other=1"]
        peer.send(answer(got[1], *more, backend=value or "new"))


@pytest.mark.parametrize("keep", [True, False])
def test_many_clients_carry_their_own_cookie(serve, memory, keep):
    server = serve(pinning)
    plans = [
        BulkPlan(f"c{n}", source=f"127.132.0.{n + 1}", requests=5, carry=("pin",), keep=keep, method="POST", body=b"x")
        for n in range(20)
    ]
    results = run_bulk(server.endpoint, memory, plans, connections=8, timeout=10, seed=1)
    assert [r.client for r in results] == [plan.client for plan in plans for _ in range(5)]
    assert all(r.ok for r in results)
    for n in range(20):
        mine = results[n * 5 : n * 5 + 5]
        pin = mine[0].set_cookies[0].partition(";")[0]
        assert mine[0].backend == "new" and pin.startswith(f"pin=127.132.0.{n + 1}-")
        assert {r.backend for r in mine[1:]} == {pin.removeprefix("pin=")}
        assert len({r.connection for r in mine}) == (1 if keep else 5)
    assert len(server.peers) == (20 if keep else 100)
    sent = {record.id: record for record in memory.sent}
    received = {record.id: record for record in memory.received}
    assert set(sent) == set(received) == {r.id for r in results} and len(sent) == 100
    one = results[7]
    assert dict(sent[one.id].headers)["Cookie"] == f"pin={one.backend}" and sent[one.id].port == one.port
    assert sent[one.id].t == one.t_sent <= one.t_received == received[one.id].t
    wire = next(lines for _, lines in server.seen if f"Limpet-Request: {one.id}" in lines)
    assert wire[1:] == [f"{name}: {value}" for name, value in sent[one.id].headers]


def test_the_first_request_counts_as_sent_when_its_connection_was_begun(serve, memory, note_returns):
    server, opened = serve(always(answer())), note_returns("limpet.harness.clients.bulk.local_name")
    run_bulk(server.endpoint, memory, [BulkPlan("c1", requests=2, keep=True)], connections=1, timeout=5, seed=1)
    first, second = memory.sent
    assert first.t < opened[0] < second.t and len(opened) == 1


def test_order_is_drawn_from_the_seed_and_batches_are_used(serve):
    class Batches:
        def __init__(self):
            self.sizes = []
            self.n = 0

        def add(self, record):
            raise AssertionError("extend is there")

        def extend(self, records):
            self.sizes.append(len(records))

        def offset(self):
            return 0.0

        def request_id(self):
            self.n += 1
            return f"r{self.n}"

    server = serve(pinning)
    orders = []
    for seed in (1, 1, 2):
        server.seen.clear()
        recorder = Batches()
        run_bulk(server.endpoint, recorder, [BulkPlan("c", path=f"/{n}") for n in range(30)], connections=1, seed=seed)
        orders.append([lines[0] for _, lines in server.seen])
        assert sum(recorder.sizes) == 60
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == sorted(orders[2])
    recorder = Batches()
    run_bulk(server.endpoint, recorder, [BulkPlan("c", requests=BATCH)])
    assert recorder.sizes == [BATCH, BATCH]


def test_errors_are_results_and_the_plan_goes_on(serve, memory, closed_port):
    def resetting(peer):
        peer.request()
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    hold = threading.Event()
    cases = {
        "closed": serve(once(b"")).endpoint,
        "malformed": serve(once(b"nonsense\r\n\r\n")).endpoint,
        "reset": serve(resetting).endpoint,
        "refused": Endpoint("127.0.0.1", closed_port),
        "timeout": serve(lambda peer: (peer.request(), hold.wait(10))[0]).endpoint,
    }
    for expected, endpoint in cases.items():
        plans = [BulkPlan(f"c{n}", source="127.132.1.1", requests=2) for n in range(3)]
        results = run_bulk(endpoint, memory, plans, timeout=0.3 if expected == "timeout" else 10)
        assert [r.error for r in results] == [expected] * 6
        assert all(r.t_received >= r.t_sent and r.detail and not r.ok for r in results)
        assert len({r.connection for r in results}) == 6
    hold.set()
    assert len(memory.sent) == len(memory.received) == 30


def test_mixed_errors_under_load(serve, memory):
    def handler(peer):
        for n in range(100):
            if peer.request() is None:
                return
            if (peer.number + n) % 7 == 3:
                return  # in the middle of the plan, without an answer
            peer.send(answer(b"x" * 10_000, backend=f"b{n}"))

    results = run_bulk(serve(handler).endpoint, memory, [BulkPlan(f"c{n}", requests=20) for n in range(40)], timeout=10)
    assert len(results) == 800 and {r.error for r in results} == {"", "closed"}
    assert all(r.backend for r in results if r.ok) and not any(r.backend for r in results if not r.ok)
    assert any("request 3 of a kept connection" in r.detail for r in results if not r.ok)
    assert {r.id for r in results} == {r.id for r in memory.received}


@pytest.mark.parametrize(
    ("data", "reused"),
    [
        (b"HTTP/1.1 103 Early\r\nLimpet-Backend: no\r\n\r\n" + answer(b"abc"), True),
        (b"HTTP/1.1 200 OK\r\nLimpet-Backend: b1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\t \r\nLimpet-Backend: b1\r\n\r\n1\r\na\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\nLimpet-Backend: b1\r\n\r\n", True),
        (answer(b"abc", "Connection: close"), False),
        (b"HTTP/1.0 200 OK\r\nLimpet-Backend: b1\r\n\r\nuntil the end", False),
        (answer(b"abc") + answer(b"unasked", backend="b2"), False),
    ],
)
def test_framings(serve, memory, data, reused):
    def handler(peer):
        while peer.request() is not None:
            peer.send(data)
            if not reused:
                return

    results = run_bulk(serve(handler).endpoint, memory, [BulkPlan("c", requests=3)], timeout=10)
    assert [(r.error, r.backend) for r in results] == [("", "b1")] * 3
    assert (len({r.connection for r in results}) == 1) is reused


def test_truncated_body(serve, memory):
    server = serve(once(b"HTTP/1.1 200 OK\r\nLimpet-Backend: b1\r\nContent-Length: 10\r\n\r\nabc"))
    (result,) = run_bulk(server.endpoint, memory, [BulkPlan("c")], timeout=10)
    assert (result.error, result.status, result.backend, result.ok) == ("closed", 200, "b1", False)


def test_cookie_is_dropped_with_max_age_zero_and_identity_from_the_body(serve, memory):
    server = serve(always(answer(b"me", "Set-Cookie: pin=; Max-Age=0")))
    plan = BulkPlan("c", requests=2, cookies={"pin": "a", "x": "1"}, carry=("pin",))
    results = run_bulk(server.endpoint, None, [plan], identify=lambda status, headers, body: (body.decode(), ""))
    assert [line for _, lines in server.seen for line in lines if line.startswith("Cookie")] == [
        "Cookie: pin=a; x=1",
        "Cookie: x=1",
    ]
    assert [r.backend for r in results] == ["me", "me"]


def test_faults_of_our_own(serve, memory, closed_port):
    server = serve(pinning)
    with pytest.raises(SetupFault):
        run_bulk(server.endpoint, memory, [BulkPlan("c", source="192.0.2.1"), BulkPlan("d", requests=5)])
    with pytest.raises(HarnessFault):
        run_bulk(server.endpoint, memory, [BulkPlan("c", method="HEAD")])
    assert run_bulk(server.endpoint, memory, []) == []


def test_runs_in_worker_threads(serve, memory):
    server = serve(pinning)
    counts = []
    threads = [
        threading.Thread(
            target=lambda: counts.append(len(run_bulk(server.endpoint, memory, [BulkPlan("c", requests=9)])))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert counts == [9, 9, 9]


def test_a_full_backlog_times_out_while_connecting(memory):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        try:
            for _ in range(8):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
                fillers.append(filler)
            endpoint = Endpoint("127.0.0.1", listener.getsockname()[1])
            (result,) = run_bulk(endpoint, memory, [BulkPlan("c")], timeout=0.3)
        finally:
            for filler in fillers:
                filler.close()
    assert (result.error, result.port) == ("timeout", 0) and result.detail
