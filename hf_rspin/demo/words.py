"""What the page says of a comparison, as HTML."""

from __future__ import annotations

import base64
from html import escape

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.demo.changes import UnitChanges
from hf_rspin.demo.pictures import NARROWEST, picture
from hf_rspin.demo.work import Comparison
from hf_rspin.units import UnitSequence
from hf_rspin.units.acoustic_pieces import IGNORED_LABEL

STYLE = """
.gradio-container {max-width: 1180px !important; margin: 0 auto !important}
.demo-said {border-left: 4px solid #c2410c; padding: .4rem .8rem}
.demo-cards {display: flex; flex-wrap: wrap; gap: 1rem}
.demo-card {flex: 1 1 15rem; min-width: 0; border: 1px solid #d4d8de; border-radius: 8px;
  padding: .7rem 1rem; overflow-wrap: anywhere}
.demo-card strong {display: block; font-size: 1.9rem; line-height: 1.2}
.demo-wide {overflow-x: auto; width: 0; min-width: 100%}  /* its picture widens nothing */
.demo-wide img {display: block; max-width: none; background: #fff}
.demo-cue {font-size: .85rem; opacity: .75; margin: .2rem 0}
@media (min-width: 1150px) {.demo-narrow {display: none}}
.demo-units {font-family: monospace; font-size: .82rem; line-height: 1.7; max-height: 12rem;
  overflow-y: auto; overflow-wrap: anywhere; margin: .1rem 0 .7rem}
.demo-units mark {background: #f3a261; color: #000; border-radius: 3px; padding: 0 .15em}
"""


def said(sentences: list[str]) -> str:
    """Return sentences for the visitor as a box, or nothing where there is none."""
    if not sentences:
        return ""
    return f'<div class="demo-said" role="status">{"<br>".join(map(escape, sentences))}</div>'


def headline(comparison: Comparison) -> str:
    """Return how many units change in each model, as large numbers."""
    seconds = len(comparison.original) / SAMPLING_RATE
    done = comparison.settings.describe()
    cards = [_card(change, place, len(comparison.changes) > 1)
             for place, change in enumerate(comparison.changes)]  # fmt: skip
    lines = [f"<p>{seconds:.1f} s of sound. Done to it: {escape(done)}.</p>"]
    lines.append(f'<div class="demo-cards">{"".join(cards)}</div>')
    sizes = {change.vocab_size for change in comparison.changes}
    if len(sizes) > 1:
        lines.append(
            '<p class="demo-cue">The two have different numbers of units: where there are fewer, '
            "fewer change. Choose the same clusters for both to compare them.</p>"
        )
    return "\n".join(lines)


def _card(change: UnitChanges, place: int, both: bool) -> str:
    name = f"{'AB'[place]}: {change.name}" if both else change.name
    return (
        f'<div class="demo-card">{escape(name)}<strong class="demo-share">{change.share:.0%}'
        f"</strong>of the units change: {change.num_changed} of {change.num_frames} frames "
        f'(20 ms each)<div class="demo-cue">{escape(change.units)}</div></div>'
    )


def picture_box(comparison: Comparison) -> str:
    """Return the picture in a box that scrolls sideways where the screen is narrower."""
    png, width = picture(comparison)
    shares = ", ".join(f"{change.name} {change.share:.0%}" for change in comparison.changes)
    narrow = "demo-narrow" if width == NARROWEST else ""
    cue = f'<span class="{narrow}">The picture scrolls sideways.</span>'
    return (
        '<p class="demo-cue">Each box is one unit with its number; boxes too narrow for it have '
        f"none. Orange: changed by the distortion. {cue}</p>"
        '<div class="demo-wide" tabindex="0"><img alt="Spectrograms of the original and the '
        f'distorted sound with their units; changed units: {escape(shares)}" width="{width}" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode()}"></div>'
    )


def unit_strings(comparison: Comparison) -> str:
    """Return the units of the recording and of the view, one below the other, for each model."""
    parts = []
    for place, change in enumerate(comparison.changes):
        name = f"{'AB'[place]}: {change.name}" if len(comparison.changes) > 1 else change.name
        parts.append(
            f'<div class="demo-card"><b>{escape(name)}</b>'
            f'<p class="demo-cue">Original, {len(change.original)} units</p>'
            f'<div class="demo-units" tabindex="0">{_units(change, change.original)}</div>'
            f'<p class="demo-cue">Distorted, {len(change.distorted)} units</p>'
            f'<div class="demo-units" tabindex="0">{_units(change, change.distorted)}</div></div>'
        )
    return f'<div class="demo-cards">{"".join(parts)}</div>'


def _units(change: UnitChanges, sequence: UnitSequence) -> str:
    """Return the units with their times as titles; those that changed are marked."""
    words = []
    rows = zip(sequence.ids.tolist(), sequence.starts, sequence.ends,
               change.segments_changed(sequence), strict=True)  # fmt: skip
    for unit, start, end, marked in rows:
        tag = "mark" if marked else "span"
        text = "?" if unit == IGNORED_LABEL else unit
        words.append(f'<{tag} title="{start:.2f} to {end:.2f} s">{text}</{tag}>')
    return " ".join(words)
