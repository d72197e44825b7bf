"""Names of probes and conditions: without what they are made of, whose import takes seconds."""

# the order is that of tables and reports
PROBE_NAMES = (
    "pr", "asr", "linear_phones", "cka", "sid", "abx", "qbe", "retrieval", "units", "voice",
    "segmentation", "pwcca", "mi", "sts", "geometry", "tsne", "cost",
)  # fmt: skip
CONDITION_NAMES = (
    "clean", "gaussian", "noise", "noise_seen", "noise_unseen", "babble", "reverb", "codec",
    "telephone", "lowpass", "highpass", "resample", "clipping", "echo", "pitch",
    "packet_loss", "packet_loss_repeat", "packet_loss_burst1", "packet_loss_burst1_repeat",
)  # fmt: skip
# what `conditions.severities_in_words` says
SEVERITIES_IN_WORDS = (
    "lowpass: below 4000 | 2000 | 1000 | 500 Hz; highpass: above 500 | 1000 | 2000 | 3000 Hz; "
    "resample: sampled at 12000 | 8000 | 4000 | 2000 Hz; clipping: 5 | 10 | 20 | 40 % of samples; "
    "echo: after 125 | 250 | 500 | 1000 ms; pitch: 1 | 2 | 4 | 6 semitones up or down; "
    "packet_loss: 5 | 10 | 20 | 40 % of packets of 20 ms, bursts of 3; codec: about 29, 58, 48 | "
    "16, 28, 40 | 11, 16, 33 | 9, 12, 30 kbit/s (Opus, MP3, Vorbis); telephone: 300 to 3400 Hz, "
    "G.711 | G.711 or GSM | GSM | GSM twice"
)
