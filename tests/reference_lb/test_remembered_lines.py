"""What a header policy remembers of earlier messages changes nothing about how the next one is sent on."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from limpet.reference_lb.parts import Framing, Member, RequestHead, ResponseHead
from limpet.reference_lb.parts.header_policy import ForwardingHeaders

MEMBER = Member("b1", "b1", "192.0.2.7", 80)
LINES = st.lists(
    st.sampled_from(
        [
            (b"Host", b"lb"),
            (b"Cookie", b"LIMPET=a"),
            (b"Cookie", b"LIMPET=a; cart=1"),
            (b"cookie", b"cart=1"),
            (b"X-Forwarded-For", b"192.0.2.1"),
            (b"Connection", b"keep-alive"),
            (b"Connection", b"X-One, close"),
            (b"X-One", b"1"),
            (b"x-one", b"1"),
            (b"Date", b"yesterday"),
            (b"Content-Length", b"2"),
            (b"Transfer-Encoding", b"chunked"),
            (b"X-Long", b"x" * 5000),
        ]
    ),
    max_size=5,
)
MESSAGES = st.tuples(LINES, st.sampled_from(Framing), st.sampled_from([101, 103, 200, 404]), st.booleans())


def sent(
    policy: ForwardingHeaders, lines: list[tuple[bytes, bytes]], framing: Framing, status: int, yes: bool
) -> bytes:
    request = RequestHead("192.0.2.1", 1, b"GET", b"/", list(lines), chunked=yes, upgrade=yes)
    response = ResponseHead(status, b"OK", list(lines), framing)
    return policy.request_head(request, MEMBER) + policy.response_head(request, response, (), 0.0, yes)


@settings(deadline=None)  # a slow machine is no fault
@given(st.lists(MESSAGES, max_size=6))
def test_a_policy_with_a_past_sends_what_a_new_one_does(
    told: list[tuple[list[tuple[bytes, bytes]], Framing, int, bool]],
) -> None:
    kept = ForwardingHeaders(["LIMPET"])
    for message in told * 2:
        assert sent(kept, *message) == sent(ForwardingHeaders(["LIMPET"]), *message)


def test_policies_do_not_share_what_they_remember() -> None:
    lines = [(b"Host", b"lb"), (b"Cookie", b"LIMPET=a; cart=1")]
    hiding, open_ = (sent(ForwardingHeaders(names), lines, Framing.NONE, 200, False) for names in (["LIMPET"], []))
    assert b"Cookie: cart=1\r\n" in hiding and b"Cookie: LIMPET=a; cart=1\r\n" in open_


def test_what_is_remembered_has_a_bound() -> None:
    policy = ForwardingHeaders()
    for number in range(3000):
        sent(policy, [(b"Host", b"lb"), (b"X-Number", b"%d" % number)], Framing.LENGTH, 200, False)
    sent(policy, [(b"X-Long", b"x" * 5000)], Framing.LENGTH, 200, False)
    sent(policy, [(b"X", b"")] * 1000, Framing.LENGTH, 200, False)
    for known in (policy._of_requests, policy._of_responses):
        assert 0 < len(known) <= 1024 and max(map(len, known)) == 2 and all(len(lines[0][1]) < 5000 for lines in known)
