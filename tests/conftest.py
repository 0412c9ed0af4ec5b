"""Every run of the suite tries the same examples: a failure can be repeated, and none comes by chance."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("parley", derandomize=True, deadline=None)
settings.load_profile("parley")
