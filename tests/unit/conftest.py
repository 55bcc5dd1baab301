"""What holds for the unit tests alone."""

from hypothesis import HealthCheck, settings

# How long an example may take depends on the machine, and what else runs on it. Each run tries
# others, so a few are enough.
settings.register_profile(
    "any machine",
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any machine")
