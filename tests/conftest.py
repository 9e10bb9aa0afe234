"""Settings that hold for every test: Hypothesis searches without a deadline, and in CI from the same seed each time."""

import os

from hypothesis import settings

# A deadline would make a test fail for the load of the machine it runs on.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
