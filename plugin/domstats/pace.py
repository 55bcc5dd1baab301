"""How long a call may take before it is suspect, learned from the calls before it."""

from __future__ import annotations

#: Seconds for a domain, until the first call has taught better.
_FIRST_GUESS_S = 0.05

#: Seconds for a domain that are believed at most: a call that took longer waited for something.
_MOST_S = 1.0

#: How many times the expected cost a call may take, and what every call may take in any case.
_PATIENCE = 4.0
LEAST_S = 0.25


class Pace:
    """The recent cost of bulk calls per domain: it learns quickly, and forgets slowly."""

    def __init__(self) -> None:
        self.per_domain_s = _FIRST_GUESS_S

    def learn(self, took_s: float, domains: int) -> None:
        """A call for so many domains took so many seconds."""
        cost = min(took_s / max(domains, 1), _MOST_S)
        weight = 0.5 if cost > self.per_domain_s else 0.1
        self.per_domain_s += weight * (cost - self.per_domain_s)

    def soft_deadline(self, domains: int, most_s: float) -> float:
        """Seconds after which a call for so many domains is suspect; ``most_s`` at most."""
        return min(max(LEAST_S, _PATIENCE * self.per_domain_s * domains + 0.1), most_s)
