"""Profiles of Hypothesis: few examples by default, many with `HYPOTHESIS_PROFILE=thorough`."""

from __future__ import annotations

import os

import hypothesis

# No deadline: how fast an example runs says something about the machine only.
hypothesis.settings.register_profile("quick", max_examples=50, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=5_000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
