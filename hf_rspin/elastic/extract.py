"""A subnet becomes a plain HubertModel, where one can have its shape."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor
from transformers.utils import cached_file

from hf_rspin.elastic.slices import check_fits, head_size, sliced_weights
from hf_rspin.elastic.space import SPACE_FILE, SubnetSpace
from hf_rspin.elastic.subnet import Subnet
from hf_rspin.elastic.supernet import running_as
from hf_rspin.models.attention import choose_attention
from hf_rspin.models.encoder import default_feature_extractor
from hf_rspin.models.folders import resolve_encoder, wants_normalized
from hf_rspin.models.loading import load_encoder, plain_config


def obstacle(subnet: Subnet, size: int) -> str | None:
    """Say in a sentence why a subnet is no plain HubertModel; None where it is one.

    A plain encoder has one number of heads for all layers, which times the head size is its width,
    and one size of feed-forward blocks.

    Args:
        subnet: see `Subnet`.
        size: dimensions of a head.
    """
    for number, heads in enumerate(subnet.heads, 1):
        if heads * size != subnet.width:
            return (
                f"layer {number} of {subnet.depth} has {heads} heads of {size} dimensions, "
                f"{heads * size} in all; a plain HubertModel of width {subnet.width} needs "
                f"{subnet.width / size:g} in every layer."
            )
    for number, ratio in enumerate(subnet.ratios, 1):
        if ratio != subnet.ratios[0]:
            return (
                f"layer {number} of {subnet.depth} has the feed-forward ratio {ratio:g} and layer "
                f"1 has {subnet.ratios[0]:g}; a plain HubertModel needs the same in every layer."
            )
    return None


def extract_subnet(encoder: HubertModel, subnet: Subnet | Mapping[str, Any]) -> HubertModel:
    """Return a plain encoder with the weights of a subnet, copied; in eval mode.

    Args:
        encoder: the full one; left as it is.
        subnet: of at most its sizes; also in its JSON form.

    Raises:
        ValueError: the subnet is larger than the encoder, or no plain encoder; it says which layer
            prevents it.

    Example:
        >>> encoder = HubertModel.from_pretrained(encoder_folder())
        >>> small = extract_subnet(encoder, Subnet.uniform(128, 2, 4.0, depth=4))
        >>> small.save_pretrained("runs/small")
    """
    config = encoder.config
    if not isinstance(subnet, Subnet):
        subnet = Subnet.from_dict(subnet)
    with running_as(encoder, subnet):  # refuses what it does not hold
        pass
    found = obstacle(subnet, head_size(config))
    if found is not None:
        raise ValueError(f"the subnet cannot be saved as a plain encoder: {found}")
    known = {name: value for name, value in config.to_dict().items() if _is_of_hubert(name)}
    content = known | {
        "hidden_size": subnet.width, "num_attention_heads": subnet.heads[0],
        "intermediate_size": subnet.feed_forward[0], "num_hidden_layers": subnet.depth,
    }  # fmt: skip
    plain = plain_config(content)
    plain.apply_spec_augment = False
    small = HubertModel(plain).to(encoder.dtype)
    with torch.no_grad():
        small.load_state_dict(sliced_weights(encoder, subnet))
    return choose_attention(small).eval()


def _is_of_hubert(field: str) -> bool:
    """Say whether a field belongs in the config of a plain encoder, and not to a run."""
    return field == "model_type" or field in HubertConfig.__dataclass_fields__


def save_subnet(
    encoder: HubertModel, subnet: Subnet, folder: str | Path, normalize: bool | None = None
) -> HubertModel:
    """Save a subnet as the folder of a plain encoder, with its feature extractor; return it.

    Args:
        encoder: the full one.
        subnet: see `extract_subnet`, which says what can be refused.
        folder: gets config, weights and feature extractor.
        normalize: whether it reads waveforms of mean 0 and variance 1; None: as such encoders do.
    """
    small = extract_subnet(encoder, subnet)
    small.config.architectures = [type(small).__name__]
    small.save_pretrained(folder)
    extractor: Wav2Vec2FeatureExtractor = default_feature_extractor(small.config)
    if normalize is not None:
        extractor.do_normalize = normalize
    extractor.save_pretrained(folder)
    return small


def load_supernet(
    name: str | Path, space: SubnetSpace | None = None
) -> tuple[HubertModel, SubnetSpace, bool]:
    """Load a folder of `--objective elastic --stage 2`, or any HuBERT with a space of one's own.

    Args:
        name: folder or Hub id of the full encoder, or "bundled".
        space: of its subnets; None: that in the folder's elastic.json.

    Returns:
        The full encoder in eval mode, the space, and whether it reads normalised waveforms.

    Raises:
        ValueError: no such encoder, no HuBERT, no space, or one that does not fit it.
    """
    folder = resolve_encoder(name)
    if space is None:
        file = cached_file(folder, SPACE_FILE, _raise_exceptions_for_missing_entries=False)
        space = SubnetSpace.load(file or folder)
    encoder = load_encoder(folder)
    check_fits(encoder.config, space)
    return encoder, space, wants_normalized(folder, encoder.config)
