"""What holds for the unit tests alone."""

from hypothesis import settings

# How long an example may take depends on the machine, and what else runs on it.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
