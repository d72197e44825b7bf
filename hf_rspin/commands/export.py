"""Write an encoder as one ONNX file, which other programs run without PyTorch and this package.

    hf-rspin export bundled encoder.onnx               # hidden states of the last layer
    hf-rspin export runs/rspin rspin.onnx              # scores and units of its codebook
    hf-rspin export facebook/hubert-base-ls960 units.onnx --kmeans km100.bin --layer 6

The file takes waveforms at 16 kHz of any length and number. It is compared with the model under
onnxruntime, on lengths that it was not traced with, before it appears; tracing and check run on the
CPU. Recordings are encoded whole, which takes memory: cut what is above 30 s.
Needs onnx, onnxruntime and onnxscript: pip install 'hf-rspin[onnx]'.
"""

from __future__ import annotations

from pathlib import Path

from hf_rspin.hub.onnx_options import OnnxOptions, check_onnx
from hf_rspin.training.cli import WHILE_BUILDING, exit_on_user_error, parse_arguments

LINES = """\
    import onnxruntime, soundfile
    waveform, rate = soundfile.read("speech.wav", dtype="float32")  # 16 kHz, one channel
    {output} = onnxruntime.InferenceSession({file!r}).run([{output!r}], {{{input!r}: waveform[None]}})[0]
"""  # noqa: E501


def main(arguments: list[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: the command line; None: `sys.argv[1:]`.
    """
    (options,) = parse_arguments(
        OnnxOptions, arguments=arguments, intro=__doc__, words=["encoder", "output"]
    )
    with exit_on_user_error(("ImportError",)):
        check_onnx()
    with exit_on_user_error(WHILE_BUILDING):
        run(options)


def run(options: OnnxOptions) -> None:
    """Export, and say what was written.

    Raises:
        ValueError: the folder is no encoder, or see `export_onnx`.
    """
    from hf_rspin.hub.onnx import TOLERANCE, build_graph, write_onnx

    graph, about = build_graph(
        options.encoder, options.units, options.kmeans, options.layer, options.normalize
    )
    print(f"Tracing {options.encoder} on the CPU; a base encoder takes minutes.", flush=True)
    difference = write_onnx(graph, about, options.output)
    size = Path(options.output).stat().st_size / 1e6
    print(
        f"{options.output}: {size:.0f} MB. Largest difference from the model under onnxruntime, "
        f"relative to its largest output: {difference:.1g} (allowed: {TOLERANCE:g})."
    )
    print(description(options.output))


def description(file: str | Path) -> str:
    """Return what an exported file takes and gives, and three lines of Python that run it."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    (values,) = session.get_inputs()
    lines = [
        f"takes {values.name} (batch, samples), {kind(values)}, at {about['sampling_rate']} Hz, as "
        "recorded; all rows of one length, at least 400 samples"
    ]
    for one in session.get_outputs():
        dims = [str(size) for size in one.shape[2:]]
        lines.append(
            f"gives {one.name} ({', '.join(['batch', 'frames', *dims])}), {kind(one)}, at "
            f"{about['frames_per_second']} frames per second"
        )
    output = session.get_outputs()[-1].name
    code = LINES.format(file=str(file), output=output, input=values.name)
    return "\n".join([*(f"  {line}" for line in lines), "Run it with:", code.rstrip()])


def kind(value: object) -> str:
    """Return the type of numbers of an input or output, as numpy calls it."""
    names = {"tensor(float)": "float32", "tensor(int64)": "int64"}
    return names.get(value.type, value.type)
