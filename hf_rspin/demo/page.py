"""The page: what a visitor chooses, hears and sees. Gradio is imported here and in `server`."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.demo.models import CLUSTERS, OWN
from hf_rspin.demo.recordings import LONGEST, sample_utterances
from hf_rspin.demo.views import LINES, NOISES, ROOMS, ViewSettings
from hf_rspin.demo.words import headline, picture_box, said, unit_strings
from hf_rspin.demo.work import Workshop
from hf_rspin.training.cli import explain

if TYPE_CHECKING:
    import gradio

NO_MODEL = "(none)"
TITLE = "What does noise do to the units of speech?"
INTRO = (
    f"# {TITLE}\nA speech encoder writes a recording down as numbers, its **units**: one per 20 ms."
    " Here you distort a recording and see how many of them change: in an encoder before R-Spin, "
    "and in one after it. Everything happens on the computer that runs this page."
)
# Says which files, as the page refuses some others, such as webm, without a word
EMPTY = "Choose an utterance, record one with the microphone, or drop a wav, flac, ogg or mp3 file."
UNITS = [
    ("The same for both: clusters of the last layer, fitted on the sample", CLUSTERS),
    ("The model's own: acoustic pieces or codes, where it has them", OWN),
]

Shown = tuple[str, str, tuple | None, tuple | None, str, str]


def build_page(workshop: Workshop, model: str, other: str | None = None) -> gradio.Blocks:
    """Return the page.

    Args:
        workshop: does the work.
        model: name of A at the start.
        other: name of B at the start; None for none.
    """
    import gradio as gr

    utterances = sample_utterances()
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.Markdown(INTRO)
        with gr.Row():
            with gr.Column(min_width=280):
                sample, recording = _recording(gr, list(utterances))
            with gr.Column(min_width=280):
                settings = _settings(gr)
        with gr.Row():
            models = _models(gr, list(workshop.places), model, other)
        outputs = _outputs(gr)
        inputs = [recording, *settings, *models]
        changed = [recording.change, *(_event(gr, one) for one in (*settings, *models))]
        gr.on(
            changed,
            lambda *values: show(workshop, *values),
            inputs,
            outputs,
            trigger_mode="always_last",
            show_progress_on=outputs[1],  # the share: one sign that it works is enough
            api_visibility="private",
        )
        for event in (sample.input, page.load):
            event(lambda name: str(utterances[name]), sample, recording, api_visibility="private")
    return page


def show(
    workshop: Workshop,
    recording: str | None,
    noise: str,
    snr_db: float,
    room: str,
    line: str,
    pitch: float,
    formants: float,
    model: str,
    other: str,
    units: str,
) -> Shown:
    """Return what the page shows for what was chosen.

    Returns:
        HTML of messages and of the share that changed; the two sounds as (Hz, int16 samples); HTML
        of the picture and of the units. Where something is wrong, one sentence and nothing else.
    """
    if not recording:
        return _only(EMPTY)
    try:
        settings = ViewSettings(noise, snr_db, room, line, pitch, formants)
        models = [name for name in (model, other) if name != NO_MODEL]
        found = workshop.compare(Path(recording), settings, models, units)
    except (ValueError, OSError) as error:
        return _only(explain(error))
    return (
        said(found.notes),
        headline(found),
        sound(found.original),
        sound(found.distorted),
        picture_box(found),
        unit_strings(found),
    )


def sound(waveform: np.ndarray) -> tuple[int, np.ndarray]:
    """Return (samples,) float32 as a player takes it; what is louder than full scale is scaled."""
    peak = max(1.0, float(np.abs(waveform).max(initial=0.0)))
    return SAMPLING_RATE, np.round(waveform / peak * 32767).astype(np.int16)


def _only(sentence: str) -> Shown:
    return said([sentence]), "", None, None, "", ""


def _event(gr: ModuleType, component: Any) -> Any:
    """Return when a control counts as changed: a slider when it is let go, or typed into."""
    return component.release if isinstance(component, gr.Slider) else component.input


def _recording(gr: ModuleType, utterances: list[str]) -> tuple:
    sample = gr.Dropdown(
        utterances, value=utterances[0], label="Sentence of the sample (synthetic voices)",
        elem_id="sample",
    )  # fmt: skip
    recording = gr.Audio(
        sources=["upload", "microphone"], type="filepath", elem_id="recording", editable=False,
        buttons=[],
        label=f"Or your own: drop a file or record (the first {LONGEST} s are used)",
    )  # fmt: skip
    return sample, recording


def _settings(gr: ModuleType) -> tuple:
    """Return noise, SNR, room, line, pitch and formants."""
    with gr.Row():
        noise = gr.Dropdown(
            list(NOISES), value="cafe", label="Noise", elem_id="noise", min_width=130
        )
        snr = gr.Slider(
            -10, 30, 5, step=1, label="Speech over noise, SNR (dB)", elem_id="snr", min_width=200
        )
    with gr.Row():
        room = gr.Dropdown(
            list(ROOMS), value=ROOMS[0], label="Room (reverberation time)", min_width=130
        )
        line = gr.Dropdown(list(LINES), value=next(iter(LINES)), label="Codec or telephone",
                           elem_id="line", min_width=200)  # fmt: skip
    with gr.Row():
        pitch = gr.Slider(0.5, 2, 1, step=0.05, label="Pitch (times the original)", min_width=200)
        formants = gr.Slider(
            0.7, 1.4, 1, step=0.05, label="Formants (times the original)", min_width=200
        )
    return noise, snr, room, line, pitch, formants


def _models(gr: ModuleType, names: list[str], model: str, other: str | None) -> tuple:
    """Return the models A and B, and which units."""
    first = gr.Dropdown(names, value=model, label="Model A", elem_id="model", min_width=200)
    second = gr.Dropdown(
        [NO_MODEL, *names], value=other or NO_MODEL, label="Model B, beside it", elem_id="other",
        min_width=200,
    )  # fmt: skip
    units = gr.Radio(UNITS, value=CLUSTERS, label="Units", elem_id="units", min_width=280)
    return first, second, units


def _outputs(gr: ModuleType) -> list:
    message = gr.HTML(elem_id="message", padding=False)
    share = gr.HTML(elem_id="share", padding=False)
    with gr.Row():
        players = [
            gr.Audio(label=name, interactive=False, elem_id=name.lower(), min_width=280,
                     buttons=["download"], type="numpy")
            for name in ("Original", "Distorted")
        ]  # fmt: skip
    picture = gr.HTML(elem_id="picture", padding=False)
    with gr.Accordion("The units as text", open=False, elem_id="strings"):
        units = gr.HTML(padding=False)
    return [message, share, *players, picture, units]
