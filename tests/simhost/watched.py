"""A sampler of a simulated host, for tests that look at rounds."""

from __future__ import annotations

from typing import TypeVar

from domstats.config.settings import Settings
from domstats.model import DomainSample, Sample, Status
from domstats.sampling.sampler import Sampler

from tests.simhost import SimHost

T = TypeVar("T", bound="Watched")


class Watched:
    """A sampler, what it logged, and which domains are known to hang."""

    def __init__(self, host: SimHost, /, **settings) -> None:
        self.log: list[tuple[str, str]] = []
        defaults = {"process_watch": False, "storage_watch": False}
        self.sampler = Sampler(
            Settings(uri=host.uri, **{**defaults, **settings}),
            lambda level, text: self.log.append((level, text)),
        )

    def __enter__(self: T) -> T:
        return self

    def __exit__(self, *_) -> None:
        self.sampler.close()

    def round(self, deadline: float = 10.0) -> Sample:
        return self.sampler.sample(deadline)


def by_name(sample: Sample) -> dict[str, DomainSample]:
    return {domain.name: domain for domain in sample.domains}


def complete(sample: Sample) -> set[str]:
    return {domain.name for domain in sample.domains if domain.status is Status.FRESH}
