"""Joules of RAPL from files, rounds of the counters among them; else none is claimed."""

import time

import pytest

from hf_rspin.cost import CostMeter, EnergyMeter
from hf_rspin.cost.energy import METHODS, weakest


def wait_for(condition):
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    assert condition()


def test_packages_and_memory_add_up_and_parts_do_not(powercap):
    places = {
        "intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram",
        "intel-rapl:1": "package-1", "intel-rapl:2": "psys", "intel-rapl-mmio:0": "package-0",
    }  # fmt: skip
    for place, name in places.items():
        powercap.zone(place, name, 500)
    (powercap.folder / "intel-rapl").mkdir()  # the control, without a counter
    with EnergyMeter("cpu", powercap.folder) as meter:
        for number, (place, name) in enumerate(places.items()):
            powercap.zone(place, name, 500 + 10**number)
    assert meter.read() == (pytest.approx((1 + 100 + 1000) / 1e6), "rapl")


def test_a_counter_that_begins_anew_goes_on(powercap):
    powercap.zone("intel-rapl:0", "package-0", 990, largest=1000)
    meter = EnergyMeter("cpu", powercap.folder).start()
    powercap.zone("intel-rapl:0", "package-0", 15, largest=1000)
    assert meter.read() == (pytest.approx(25e-6), "rapl")
    powercap.zone("intel-rapl:0", "package-0", 20, largest=1000)
    assert meter.stop() == (pytest.approx(30e-6), "rapl")
    powercap.zone("intel-rapl:0", "package-0", 400, largest=1000)
    assert meter.read() == (pytest.approx(30e-6), "rapl")


def test_no_round_is_missed_while_nobody_reads(powercap):
    powercap.zone("intel-rapl:0", "package-0", 0, largest=1000)
    meter = EnergyMeter("cpu", powercap.folder, interval=0.005).start()
    seen = meter._counter._zones[0]
    for value in (900, 800, 700):  # twice round
        powercap.zone("intel-rapl:0", "package-0", value, largest=1000)
        wait_for(lambda now=value: seen.last == now)
    assert meter.stop() == (pytest.approx(2700e-6), "rapl")


def test_a_counter_that_vanishes_makes_the_energy_unknown(powercap):
    for number in range(2):
        powercap.zone(f"intel-rapl:{number}", f"package-{number}", 5)
    meter = EnergyMeter("cpu", powercap.folder).start()
    (powercap.folder / "intel-rapl:1" / "energy_uj").unlink()
    assert meter.read() == (None, "none")
    powercap.zone("intel-rapl:1", "package-1", 5)
    assert meter.stop() == (None, "none")


@pytest.mark.parametrize("content", ["", "much"])
def test_damaged_counters_are_no_energy(powercap, content):
    powercap.zone("intel-rapl:0", "package-0", 5)
    (powercap.folder / "intel-rapl:0" / "energy_uj").write_text(content)
    assert_none_or_estimated(EnergyMeter("cpu", powercap.folder))


def test_without_counters_nothing_is_claimed(powercap):
    assert_none_or_estimated(EnergyMeter("cpu", powercap.folder / "not there"))
    powercap.zone("intel-rapl:0", "package-0", 5)
    # the energy of the processor is not that of another device
    assert_none_or_estimated(EnergyMeter("meta", powercap.folder))


def assert_none_or_estimated(meter):
    with meter:
        pass
    joules, method = meter.read()
    assert (joules, method) == (None, "none") or (method == "estimated" and joules >= 0)


def test_a_meter_starts_again_at_nothing(powercap):
    powercap.zone("intel-rapl:0", "package-0", 0)
    meter = EnergyMeter("cpu", powercap.folder)
    assert meter.read() == (None, "none")
    for value in (7, 9):
        with meter:
            powercap.zone("intel-rapl:0", "package-0", 10 * value)
        powercap.zone("intel-rapl:0", "package-0", 0)
    assert meter.read() == (pytest.approx(90e-6), "rapl")


def test_a_sum_is_as_sure_as_its_weakest_part():
    assert weakest("nvml", "rapl") == weakest("rapl", "nvml") == "rapl"
    assert all(weakest(method, "none") == "none" for method in METHODS)


def test_an_evaluation_is_measured_whole(powercap):
    powercap.zone("intel-rapl:0", "package-0", 0)
    with CostMeter("cpu", "a small one", powercap=powercap.folder) as meter:
        time.sleep(0.02)
        powercap.zone("intel-rapl:0", "package-0", 2_000_000)
    time.sleep(0.02)
    cost = meter.cost(processed_hours=0.5, gflops=3.0)
    assert (cost.energy_joules, cost.energy_method, cost.device) == (2.0, "rapl", "a small one")
    assert 0.02 <= cost.wall_seconds == cost.device_seconds
    assert cost.batch_minutes is None and cost.gpu_hours == 0 and cost.updates == 0
    assert (cost.processed_hours, cost.forward_gflops_per_second_of_speech) == (0.5, 3.0)
