"""The ways in which real balancers break stickiness, by number: what faults are classified by.

Derived from defects, fixed or still open, of widely used balancers.
"""

from __future__ import annotations

CLASSES: dict[int, str] = {
    1: "cookie not issued by some member",
    2: "empty or deleting cookie",
    3: "wrong value",
    4: "attribute dropped",
    5: "path scope",
    6: "domain scope",
    7: "sticky plus another option gives no cookie",
    8: "valid cookie ignored, always or once in N",
    9: "one carrier of the key ignored",
    10: "first duplicate wins though stale",
    11: "name compared by the wrong case rule",
    12: "missing key gives an error",
    13: "lives too long",
    14: "lives too short, unit error",
    15: "sliding where absolute is promised, or the reverse",
    16: "expiry never enforced",
    17: "cookie of one version unknown to another",
    18: "cookie of one node unknown to another",
    19: "owners move on upgrade",
    20: "update not applied",
    21: "an unrelated change resets",
    22: "reload loses",
    23: "new member gets no keys",
    24: "removed member still served",
    25: "duplicate ring points: some starve",
    26: "one owner for all",
    27: "far more than 1/n moves",
    28: "new sessions starve",
    29: "no failover, errors for ever",
    30: "strict mode moves though forbidden",
    31: "waits though it may move",
    32: "health ignored for pinned clients",
    33: "re-pin not recorded",
    34: "surprise fail-back",
    35: "drain evicts live sessions",
    36: "drain admits new ones",
    37: "the balancer dies when health flaps",
    38: "per-connection affinity",
    39: "upgrade bypasses the pin",
    40: "canary level not sticky",
    41: "cookie leaks to the backend or through a cache",
    42: "parallel first requests split",
}
"""Number → what is wrong, in a few words."""
