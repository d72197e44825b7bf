import pandas as pd
import pytest

from hf_rspin.evaluation.verdict import verdict


def table(metric, numbers):
    """Rows of (encoder, condition, layer, value)."""
    names = ["encoder", "condition", "layer", "value"]
    return pd.DataFrame(numbers, columns=names).assign(metric=metric)


def phones(clean, noisy):
    """Layer 2 is the best on clean speech, layer 1 would be the best in noise."""
    rows = []
    for name, c, n in zip(("before", "after"), clean, noisy, strict=True):
        rows += [(name, "clean", 1, c - 0.1), (name, "clean", 2, c)]
        for condition, shift in (("gaussian", 0), ("rooms", 0.02)):
            rows += [(name, condition, 1, 0.9), (name, condition, 2, n + shift)]
    return table("phone_accuracy", rows)


@pytest.mark.parametrize(
    ("clean", "noisy", "beginning"),
    [
        ((0.50, 0.50), (0.30, 0.40), "Noise robustness rose without phone information falling:"),
        ((0.50, 0.491), (0.30, 0.40), "Noise robustness rose without phone information falling:"),
        ((0.50, 0.53), (0.30, 0.40), "Noise robustness rose without phone information falling:"),
        ((0.50, 0.46), (0.30, 0.40),
         "Noise robustness rose, and phone information on clean speech fell by 4.0 points:"),
        ((0.50, 0.50), (0.30, 0.295),
         "Noise robustness did not rise, and phone information did not fall:"),
        ((0.50, 0.40), (0.30, 0.30),
         "Noise robustness did not rise, and phone information on clean speech fell by 10.0"),
    ],
)  # fmt: skip
def test_the_numbers_decide(clean, noisy, beginning):
    said = verdict(phones(clean, noisy), "before", "after")
    assert said.startswith(beginning)
    assert f"{100 * noisy[0]:.1f} -> {100 * noisy[1]:.1f} % of phones right in noise" in said
    rooms = [100 * (value + 0.02) for value in noisy]
    assert f", {rooms[0]:.1f} -> {rooms[1]:.1f} % in rooms, and " in said
    assert f"{100 * clean[0]:.1f} -> {100 * clean[1]:.1f} % on clean speech" in said


def test_noise_and_rooms_are_not_lumped():
    found = phones((0.5, 0.5), (0.3, 0.4))
    found.loc[(found["condition"] == "rooms") & (found["encoder"] == "after"), "value"] = 0.2
    said = verdict(found, "before", "after")
    assert said.startswith("Noise robustness rose, robustness to rooms fell, and phone informat")
    more = found[found["condition"] == "gaussian"].assign(condition="seen_noise", value=0.3)
    said = verdict(pd.concat([found, more]), "before", "after")
    assert said.startswith("Noise robustness rose in part, robustness to rooms fell, and phone")
    assert "30.0 -> 40.0 % of phones right in Gaussian noise, 32.0 -> 20.0 % in rooms" in said
    only_rooms = found[found["condition"] != "gaussian"]
    assert verdict(only_rooms, "before", "after").startswith("Robustness fell, and phone")


def test_without_phones_nothing_is_said_of_them():
    rows = [("before", "rooms", 1, 0.4), ("before", "rooms", 2, 0.6), ("after", "rooms", 1, 0.9)]
    said = verdict(table("cka_debiased", rows), "before", "after", "your recordings")
    assert said.startswith("Similarity with your recordings rose in rooms (0.500 -> 0.900) (CKA")
    assert "needs phone alignments" in said
    same = [*rows[:2], ("after", "rooms", 1, 0.505)]
    said = verdict(table("cka_debiased", same), "before", "after")
    assert said.startswith("Similarity with clean speech did not change in rooms (0.500 -> 0.505)")
    assert "nothing can be said" in verdict(table("pnmi", rows), "before", "after")


def similarities(**pairs):
    """Rows of one layer from (before, after) by condition."""
    return table("cka_debiased", [
        (encoder, name, 1, value) for name, pair in pairs.items()
        for encoder, value in zip(("before", "after"), pair, strict=True)
    ])  # fmt: skip


def test_what_rose_and_what_fell_are_named_apart():
    pairs = {"seen_noise": (0.60, 0.70), "unseen noise": (0.50, 0.60), "gaussian": (0.70, 0.80),
             "rooms (unseen)": (0.922, 0.907), "telephone": (0.90, 0.905)}  # fmt: skip
    assert verdict(similarities(**pairs), "before", "after").startswith(
        "Similarity with clean speech rose in noise (0.600 -> 0.700); it fell in rooms "
        "(0.922 -> 0.907); it did not change in telephone coding (0.900 -> 0.905) (CKA"
    )
    said = verdict(similarities(**pairs | {"gaussian": (0.70, 0.60)}), "before", "after")
    assert said.startswith(
        "Similarity with clean speech rose in seen noise (0.600 -> 0.700), unseen noise (0.500 -> "
        "0.600); it fell in Gaussian noise (0.700 -> 0.600), rooms (0.922 -> 0.907); it did not"
    )


def test_what_cannot_be_compared_is_not_told_as_a_change():
    found = phones((0.5, 0.5), (0.3, 0.31))  # a point: no change
    assert verdict(found, "before", "after").startswith("Noise robustness did not rise, and")
    found = phones((0.5, 0.5), (0.5, 0.3))
    assert verdict(found, "before", "after").startswith("Noise robustness fell, robustness to")
    gone = found[(found["encoder"] == "before") | (found["condition"] != "rooms")]
    assert "rooms" not in verdict(gone, "before", "after")
    clean = found[found["condition"] == "clean"]
    assert "nothing can be said of robustness" in verdict(clean, "before", "after")
    two = phones((0.5, 0.5), (0.3, 0.5))
    two["condition"] = two["condition"].replace({"gaussian": "noise", "rooms": "noise (unseen)"})
    two.loc[(two["condition"] != "noise") & (two["encoder"] == "after"), "value"] = 0.2
    said = verdict(two[(two["layer"] == 2)], "before", "after")
    assert "% of phones right in noise, 32.0 -> 20.0 % in noise (unseen)" in said
