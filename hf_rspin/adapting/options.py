"""What `hf-rspin adapt` asks for; nothing heavy is imported, for `--help`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hf_rspin.nearby import nearby
from hf_rspin.utils import option

CHANNELS = ("mix", "left", "right", "separate")
AUTO = "auto"
SYNTHETIC = "synthetic"


@dataclass
class AdaptOptions:
    """All that can be changed; what is left out is chosen by the encoder and the recordings."""

    folder: str = option("", "recordings: the first word of the command line")
    output_dir: str = option("runs/adapted", "for everything that is made")
    encoder: str = option("bundled", "folder or Hub id of an encoder, or bundled")
    channel: str = option(
        "mix",
        "of recordings with several: mix (their mean), left, right, or separate (each is a "
        "recording of its own, such as the two sides of a call)",
    )
    telephone: str = option(
        AUTO, "true, false, or auto: telephone and MP3 coding of views where 8 kHz speech is found"
    )
    noise: str = option(SYNTHETIC, "folder of noise recordings, or synthetic")
    hours: float | None = option(None, "most hours of recordings, drawn at random; default all")
    max_steps: int | None = option(None, "updates; default by the recipe and the hours")
    wall_hours: float | None = option(None, "most hours on the clock: fewer updates where needed")
    batch_seconds: float | None = option(
        None, "seconds of a view in memory at once; default what fits"
    )
    layer: int | None = option(None, "hidden state that the units cluster")
    num_clusters: int | None = option(None, "units; default by the recipe and the hours")
    vocab_size: int | None = option(None, "acoustic pieces; likewise")
    segment_seconds: float = option(12.0, "longest part that recordings are cut into")
    plan_only: bool = option(False, "say what would be done and what it takes, and end")
    device: str = option(AUTO, "auto, cpu or cuda")
    seed: int = option(0, "seed of everything")

    def __post_init__(self) -> None:
        if self.channel not in CHANNELS:
            raise ValueError(f"--channel is {self.channel!r}; expected {', '.join(CHANNELS)}.")
        self.telephone = str(self.telephone).lower()
        if self.telephone not in (AUTO, "true", "false"):
            raise ValueError(f"--telephone is {self.telephone!r}; expected auto, true or false.")
        for name in ("hours", "max_steps", "wall_hours", "batch_seconds", "num_clusters",
                     "vocab_size"):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"--{name} is {value}; expected more than 0.")
        if not 2 <= self.segment_seconds <= 30:
            raise ValueError(f"--segment_seconds is {self.segment_seconds:g}; expected 2 to 30.")

    def check_places(self) -> None:
        """Look whether what is to be read is there.

        Raises:
            ValueError: the recordings or the noise are not.
        """
        if not self.folder:
            raise ValueError(
                "no recordings were given; expected their folder as the first word, such as "
                "`hf-rspin adapt my_recordings`."
            )
        noise = {} if self.noise == SYNTHETIC else {"--noise ": self.noise}
        for name, place in {"": self.folder, **noise}.items():
            if not Path(place).exists():
                raise ValueError(
                    f"{name}{place} does not exist ({nearby(Path(place))}); expected a folder of "
                    "audio."
                )
