"""A tree of files as Linux's powercap has it, whose counters a test turns on."""

import pytest


class Powercap:
    """Zones as folders: `zone(place, name, value, largest)` makes or sets one."""

    def __init__(self, folder):
        self.folder = folder

    def zone(self, place, name, microjoules, largest=1_000_000_000):
        zone = self.folder / place
        zone.mkdir(parents=True, exist_ok=True)
        (zone / "name").write_text(f"{name}\n")
        (zone / "max_energy_range_uj").write_text(f"{largest}\n")
        # at once, as the kernel gives it
        (zone / "next").write_text(f"{microjoules}\n")
        (zone / "next").replace(zone / "energy_uj")


@pytest.fixture
def powercap(tmp_path):
    """Return an empty tree."""
    (tmp_path / "powercap").mkdir()
    return Powercap(tmp_path / "powercap")
