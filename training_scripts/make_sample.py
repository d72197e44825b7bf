"""Make the speech sample of the package with espeak-ng.

Voice variants of espeak-ng serve as speakers. The library is called through ctypes with phoneme
events on, so that the start of every phone is known. The output is the same from run to run for one
version of espeak-ng; only its output audio enters the package, not espeak-ng (GPL-3) itself.

    apt-get install libespeak-ng1 espeak-ng-data
    python training_scripts/make_sample.py
"""

import csv
import ctypes
import shutil
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
import yaml
from transformers import HfArgumentParser

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.utils import option

# espeak-ng/speak_lib.h
AUDIO_OUTPUT_RETRIEVAL = 1
INITIALIZE_PHONEME_EVENTS = 1
EVENT_LIST_TERMINATED = 0
EVENT_PHONEME = 7
PARAMETER_RATE = 1
PARAMETER_VOLUME = 2
PARAMETER_PITCH = 3
POSITION_CHARACTER = 1
CHARACTERS_UTF8 = 1

VOLUME = 50  # the default of 100 clips some voices; the level is set afterwards
SLOWER = 5  # words per minute taken off for each new attempt at a too short utterance
SILENCE = 5e-4  # of full scale: what is below counts as the closure of a stop
SHORTEST_CLOSURE = 0.005  # seconds
BURST = 0.002  # seconds before the mark of a stop that may already hold its burst
LONGEST_CODA_L = 0.035  # seconds between the mark of an l that was joined to a vowel and the next
VOWEL_SHARE = 0.6  # of a vowel that was joined with an l
VOWELS = frozenset("AA AE AH AO AW AX AY EH ER EY IH IY OW OY UH UW".split())
COLUMNS = (
    "file_name", "id", "split", "speaker", "gender", "sentence",
    "duration", "text", "phones", "alignment",
)  # fmt: skip


@dataclass
class SampleArguments:
    """What to make and where to put it."""

    output_dir: str = option(
        "hf_rspin/resources/sample",
        "Folder that is emptied, then filled with FLAC files and metadata.csv.",
    )
    config: str = option("training_scripts/configs/sample.yaml", "Voices, sentences and phone set.")


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    """`espeak_EVENT`; for a phoneme, `sample` is where it starts and `id.string` what it is."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Espeak:
    """The shared library of espeak-ng, called synchronously."""

    def __init__(self):
        try:
            self._library = ctypes.CDLL("libespeak-ng.so.1")
        except OSError as error:
            raise SystemExit(f"{error}; install espeak-ng (Debian: libespeak-ng1)") from error
        self.sampling_rate = self._library.espeak_Initialize(
            AUDIO_OUTPUT_RETRIEVAL, 0, None, INITIALIZE_PHONEME_EVENTS
        )
        self._library.espeak_Info.restype = ctypes.c_char_p
        self.version = self._library.espeak_Info(None).decode()
        self._libc = ctypes.CDLL(None)
        self._audio: list[np.ndarray] = []
        self._events: list[tuple[float, str]] = []
        self._callback = _CALLBACK(self._receive)  # the library keeps a pointer: keep it alive
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, voice: str, rate: int, pitch: int):
        """Return float64 audio (samples,) at `self.sampling_rate` and `[(second, mnemonic)]`."""
        self._audio, self._events = [], []
        self._libc.srand(0)  # breath noise comes from rand()
        self._libc.srandom(0)
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise SystemExit(f"espeak-ng has no voice {voice!r}; install espeak-ng-data")
        self._library.espeak_SetParameter(PARAMETER_RATE, rate, 0)
        self._library.espeak_SetParameter(PARAMETER_PITCH, pitch, 0)
        self._library.espeak_SetParameter(PARAMETER_VOLUME, VOLUME, 0)
        data = text.encode()
        self._library.espeak_Synth(
            data, len(data) + 1, 0, POSITION_CHARACTER, 0, CHARACTERS_UTF8, None, None
        )
        self._library.espeak_Synchronize()
        return np.concatenate(self._audio) / 32768.0, self._events

    def _receive(self, samples, num_samples, events) -> int:
        if num_samples > 0:
            self._audio.append(np.ctypeslib.as_array(samples, (num_samples,)).copy())
        index = 0
        while events[index].type != EVENT_LIST_TERMINATED:
            if events[index].type == EVENT_PHONEME:
                second = events[index].sample / self.sampling_rate
                self._events.append((second, events[index].id.string.decode()))
            index += 1
        return 0


def name_phones(events: list[tuple[float, str]], phone_set: dict) -> list[tuple[float, str]]:
    """Map mnemonics to phones and join pauses that follow each other: `[(second, phone)]`."""
    segments: list[tuple[float, str]] = []
    for second, mnemonic in events:
        if mnemonic not in phone_set:
            raise SystemExit(f"the configuration has no phone for the mnemonic {mnemonic!r}")
        if not segments or (phone_set[mnemonic], segments[-1][1]) != ("SIL", "SIL"):
            segments.append((second, phone_set[mnemonic]))
    if segments[-1][1] != "SIL":
        raise SystemExit("the utterance does not end in a pause; end the sentence with a full stop")
    return segments


def move_marks(segments: list[tuple[float, str]], audio: np.ndarray, rate: int):
    """Move two kinds of marks to where a phonetician would put them.

    espeak-ng marks a stop at its burst: the closure before it belongs to the stop. It speaks a
    vowel and an l of the same syllable as one sound and marks the l at its end: the l gets the
    last part of the sound.
    """
    moved = [segments[0]]
    ends = [second for second, _ in segments[2:]] + [len(audio) / rate]
    for (second, phone), end in zip(segments[1:], ends, strict=True):
        start, before = moved[-1]
        if phone == "L" and before in VOWELS and end - second < LONGEST_CODA_L:
            second = start + VOWEL_SHARE * (second - start)
        elif phone != "SIL" and before != "SIL":
            first = round(start * rate)
            loud = np.flatnonzero(np.abs(audio[first : round((second - BURST) * rate)]) > SILENCE)
            closure = (first + loud[-1] + 1) / rate if len(loud) else second
            if second - closure > SHORTEST_CLOSURE:
                second = closure
        moved.append((second, phone))
    return moved


def trim(audio: np.ndarray, rate: int, first: float, last: float, margin: float) -> np.ndarray:
    """Cut `audio` to the seconds from `first` to `last`, with `margin` seconds around them."""
    pad = round(margin * rate)
    padded = np.pad(audio, (pad, pad))
    return padded[round(first * rate) : round(last * rate) + 2 * pad]


def utterance(espeak: Espeak, config: dict, speaker: str, text: str):
    """Speak one sentence: (audio (samples,) at 16 kHz, segments), slowed until long enough."""
    voice, margin = config["speakers"][speaker], config["margin_seconds"]
    rate, duration = voice["rate"] + SLOWER, 0.0
    while duration < config["min_seconds"]:
        rate -= SLOWER
        name = f"{config['language']}+{speaker}"
        audio, events = espeak.speak(text, name, rate, voice["pitch"])
        segments = name_phones(events, config["phones"])
        first, last = segments[0][0], segments[-1][0]
        duration = last - first + 2 * margin
    segments = move_marks(segments, audio, espeak.sampling_rate)
    segments = [(0.0, "SIL")] + [(second - first + margin, phone) for second, phone in segments]
    audio = trim(audio, espeak.sampling_rate, first, last, margin)
    audio = soxr.resample(audio, espeak.sampling_rate, SAMPLING_RATE, quality="VHQ")
    return audio * (config["level_rms"] / np.sqrt(np.mean(audio**2))), segments


def assignments(config: dict):
    """Yield (split, speaker, sentence index): each sentence comes equally often."""
    speakers = list(config["speakers"])
    for split, count in config["sentences_per_speaker"].items():
        total = len(config["sentences"][split])
        for position, speaker in enumerate(speakers):
            for turn in range(count):
                # Seven is coprime to 20 and 10: a speaker never gets one sentence twice.
                yield split, speaker, (position + 7 * turn) % total


def write_utterance(folder: Path, name: str, audio: np.ndarray, segments: list) -> dict:
    """Write one FLAC file; return the columns that describe its sound."""
    path = folder / f"{name}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, SAMPLING_RATE, subtype="PCM_16", compression_level=1.0)
    return {
        "file_name": f"{name}.flac",
        "duration": f"{len(audio) / SAMPLING_RATE:.4f}",
        "phones": " ".join(phone for _, phone in segments if phone != "SIL"),
        "alignment": " ".join(f"{start:.3f}:{phone}" for start, phone in segments),
    }


README = """# Speech sample

{count} utterances, {seconds:.0f} s, {speakers} voices, 16 kHz mono FLAC, {size:.2f} MB.

Synthetic English, made by `training_scripts/make_sample.py` with espeak-ng {version}. The sentences
were written for this project. espeak-ng is free software under the GPL-3; only audio that it put
out is here, no part of the program, and the audio comes under the licence of this package
(Apache-2.0).

`metadata.csv`, one row per utterance:

| column | what |
|---|---|
| `file_name`, `id` | audio relative to this folder; a unique name |
| `split` | `train` or `test`; every voice is in both, no sentence is |
| `speaker`, `gender` | voice variant of espeak-ng, and which it imitates |
| `sentence`, `text` | the sentence, spoken by {parallel} voices |
| `duration` | seconds |
| `phones` | what was said, without pauses |
| `alignment` | `start:phone` with the start in seconds; each phone ends where the next one starts |

Phones are ARPAbet without stress, with AX for reduced vowels, DX for the flap, SIL for pauses, and
AAR, AOR, EHR, IHR for vowels joined with a following r:

{phones}

The starts are espeak-ng's phoneme events, with two changes: the closure of a stop belongs to the
stop, and an l that espeak-ng joins to the vowel before it takes the last {coda:.0%} of that sound.
"""


def write_metadata(folder: Path, rows: list[dict], config: dict, version: str) -> None:
    """Write metadata.csv and README.md."""
    with open(folder / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    uses = {row["sentence"]: 0 for row in rows}
    for row in rows:
        uses[row["sentence"]] += 1
    text = README.format(
        count=len(rows),
        seconds=sum(float(row["duration"]) for row in rows),
        speakers=len(config["speakers"]),
        size=sum(path.stat().st_size for path in folder.rglob("*.flac")) / 1e6,
        version=version,
        parallel=" or ".join(str(n) for n in sorted(set(uses.values()))),
        phones=textwrap.fill(" ".join(sorted(set(config["phones"].values()))), 100),
        coda=1 - VOWEL_SHARE,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def main() -> None:
    """Speak every assigned sentence and write the folder."""
    (arguments,) = HfArgumentParser(SampleArguments).parse_args_into_dataclasses()
    config = yaml.safe_load(Path(arguments.config).read_text(encoding="utf-8"))
    folder = Path(arguments.output_dir)
    shutil.rmtree(folder, ignore_errors=True)
    espeak, rows = Espeak(), []
    for split, speaker, index in assignments(config):
        text, sentence = config["sentences"][split][index], f"{split}-{index:02d}"
        audio, segments = utterance(espeak, config, speaker, text)
        row = write_utterance(folder, f"{split}/{speaker}-{index:02d}", audio, segments)
        labels = {"id": f"{speaker}-{sentence}", "split": split, "speaker": speaker}
        gender = config["speakers"][speaker]["gender"]
        rows.append({**row, **labels, "gender": gender, "sentence": sentence, "text": text})
        print(f"{row['file_name']}  {row['duration']} s  {text}")
    write_metadata(folder, rows, config, espeak.version)
    print((folder / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
