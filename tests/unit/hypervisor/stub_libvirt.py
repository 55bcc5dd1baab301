"""A libvirt module that does what a test says: for errors that no real driver gives on demand."""

from __future__ import annotations

from typing import Any

CODES = (
    "VIR_ERR_INTERNAL_ERROR",
    "VIR_ERR_NO_SUPPORT",
    "VIR_ERR_INVALID_ARG",
    "VIR_ERR_RPC",
    "VIR_ERR_NO_DOMAIN",
    "VIR_ERR_OPERATION_INVALID",
    "VIR_ERR_OPERATION_UNSUPPORTED",
    "VIR_ERR_CONFIG_UNSUPPORTED",
    "VIR_ERR_ARGUMENT_UNSUPPORTED",
    "VIR_ERR_OPERATION_TIMEOUT",
    "VIR_ERR_OPERATION_FAILED",
    "VIR_ERR_SYSTEM_ERROR",
)


#: What virDomainBlockStatsFlags tells of a disk.
COUNTERS = {
    "wr_bytes": 1,
    "wr_operations": 2,
    "rd_bytes": 3,
    "rd_operations": 4,
    "flush_operations": 5,
    "wr_total_times": 6,
    "rd_total_times": 7,
    "flush_total_times": 8,
}


class StubError(Exception):
    """libvirtError."""

    def __init__(self, code: int, text: str = "it went wrong") -> None:
        super().__init__(text)
        self.code = code

    def get_error_code(self) -> int:
        return self.code


class StubDomain:
    """A domain: ``answers`` says what each of its calls gives, or which error it raises."""

    def __init__(self, uuid: str, name: str, number: int = 1, **answers: Any) -> None:
        self.uuid, self.number = uuid, number
        self.label = name
        self.answers: dict[str, Any] = {
            "state": [1, 1],
            "info": [1, 2048, 1024, 2, 77],
            "getCPUStats": [{"cpu_time": 80, "user_time": 30, "system_time": 20}],
            "vcpus": ([(0, 1, 40, 3), (1, 1, 41, 5)], [(True, True), (False, True)]),
            "vcpuPinInfo": [(True, False)],
            "memoryStats": {"actual": 1024, "rss": 900, "unknown_to_us": 1},
            "interfaceStats": (1, 2, 3, 4, 5, 6, 7, -1),
            "blockStats": (1, 2, 3, 4, -1),
            "blockStatsFlags": dict(COUNTERS),
            "blockInfo": (100, 90, 95),
            "controlInfo": [0, 0, 0],
            "XMLDesc": "<domain/>",
            **answers,
        }
        self.calls: list[str] = []

    def UUIDString(self) -> str:
        return self.uuid

    def UUID(self) -> bytes:
        return bytes.fromhex(self.uuid.replace("-", ""))

    def name(self) -> str:
        return self.label

    def ID(self) -> int:
        return self.number

    def __getattr__(self, name: str) -> Any:
        answer = self.answers[name]

        def call(*arguments: Any) -> Any:
            self.calls.append(name)
            told = answer(*arguments) if callable(answer) else answer
            if isinstance(told, Exception):
                raise told
            return told

        return call


class StubConn:
    """A connection: ``bulk`` gives the bulk answer for domains, a mask and flags."""

    def __init__(self, stub: StubLibvirt) -> None:
        self.stub = stub
        self.alive = True
        self.closed = False
        self.keepalive: tuple[int, int] | None = None
        self.callbacks: dict[int, tuple[Any, Any]] = {}

    def isAlive(self) -> bool:
        return self.alive

    def close(self) -> None:
        self.closed = True

    def domainEventRegisterAny(self, domain: None, source: int, call: Any, opaque: Any) -> int:
        assert domain is None
        if source in self.stub.no_events:
            self.alive = self.stub.lives_on
            raise StubError(self.stub.VIR_ERR_NO_SUPPORT)
        self.callbacks[source] = call, opaque
        return source

    def domainEventDeregisterAny(self, number: int) -> None:
        del self.callbacks[number]
        if not self.alive:
            raise StubError(self.stub.VIR_ERR_INTERNAL_ERROR)

    def happen(self, source: int, domain: StubDomain, *arguments: Any) -> None:
        """As libvirt's event loop calls back."""
        call, opaque = self.callbacks[source]
        call(self, domain, *arguments, opaque)

    def setKeepAlive(self, interval: int, count: int) -> None:
        if self.stub.driver != "QEMU":
            raise StubError(self.stub.VIR_ERR_NO_SUPPORT)
        self.keepalive = interval, count

    def getType(self) -> str:
        return self.stub.driver

    def getVersion(self) -> int:
        if self.stub.version_error is not None:
            raise self.stub.version_error
        return 7_002_022

    def getLibVersion(self) -> int:
        self.stub.version_questions += 1
        return self.stub.version

    def getInfo(self) -> list[Any]:
        return ["x86_64", 64000, 12, 2400]

    def listAllDomains(self, flags: int) -> list[StubDomain]:
        self.stub.lists += 1
        if self.stub.list_error is not None:
            error, self.stub.list_error = self.stub.list_error, None
            self.alive = self.stub.lives_on
            raise error
        return list(self.stub.domains)

    def domainListGetStats(
        self, domains: list[StubDomain], mask: int, flags: int
    ) -> list[tuple[StubDomain, dict[str, Any]]]:
        self.stub.bulk_calls.append((tuple(domain.uuid for domain in domains), mask, flags))
        if self.stub.bulk_errors:
            self.alive = self.stub.lives_on
            raise self.stub.bulk_errors.pop(0)
        answered = domains if self.stub.answered is None else self.stub.answered
        return [(domain, dict(self.stub.stats)) for domain in answered]


class StubLibvirt:
    """The module."""

    libvirtError = StubError
    VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT = 1 << 29
    VIR_CONNECT_LIST_DOMAINS_ACTIVE = 1

    def __init__(self, *domains: StubDomain, driver: str = "QEMU") -> None:
        for number, code in enumerate(CODES, 1):
            setattr(self, code, number)
        self.domains = list(domains)
        self.driver = driver
        self.stats: dict[str, Any] = {"state.state": 1}
        #: Who answers a bulk call; None for all that are asked.
        self.answered: list[StubDomain] | None = None
        self.bulk_errors: list[StubError] = []
        self.bulk_calls: list[tuple[tuple[str, ...], int, int]] = []
        self.list_error: StubError | None = None
        self.open_error: StubError | None = None
        self.version_error: StubError | None = None
        self.lives_on = True
        self.version = 9_000_000
        self.version_questions = 0
        self.lists = 0
        self.no_events: set[int] = set()
        self.opened: list[StubConn] = []
        #: Whether each preparation of the event loop was for keepalive; see the tests' fixture.
        self.loops: list[bool] = []

    def __getattr__(self, name: str) -> int:
        raise AttributeError(name)

    def openReadOnly(self, uri: str) -> StubConn:
        if self.open_error is not None:
            raise self.open_error
        self.opened.append(StubConn(self))
        return self.opened[-1]

    def error(self, code: str, text: str = "it went wrong") -> StubError:
        return StubError(getattr(self, code), text)
