"""Parameters and operations of a subnet in closed form, so that a search builds none of them."""

from __future__ import annotations

from transformers import PreTrainedConfig

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.elastic.slices import head_size
from hf_rspin.elastic.subnet import Subnet


def subnet_parameters(config: PreTrainedConfig, subnet: Subnet) -> int:
    """Return the number of parameters of a subnet, as a plain encoder of its shape has them.

    Args:
        config: of the full encoder.
        subnet: see `Subnet`.

    Example:
        >>> from hf_rspin.elastic.slices import full_subnet
        >>> subnet_parameters(HubertConfig(), full_subnet(HubertConfig()))
        94371712
    """
    width, kernel = subnet.width, config.num_conv_pos_embeddings
    total = _convolution_parameters(config)
    total += 2 * config.conv_dim[-1] if config.feat_proj_layer_norm else 0
    total += (config.conv_dim[-1] + 1) * width
    total += width if config.mask_time_prob > 0 or config.mask_feature_prob > 0 else 0
    # one size of the weight norm per place of the kernel
    total += width * (width // config.num_conv_pos_embedding_groups) * kernel + kernel + width
    total += 2 * width
    for heads, feed_forward in zip(subnet.heads, subnet.feed_forward, strict=True):
        inner = heads * head_size(config)
        total += 3 * (width + 1) * inner + (inner + 1) * width
        total += (width + 1) * feed_forward + (feed_forward + 1) * width + 4 * width
    return total


def subnet_flops(config: PreTrainedConfig, subnet: Subnet, seconds: float = 10.0) -> float:
    """Return the floating-point operations per second of audio, in utterances of `seconds`.

    Counted as `hf_rspin.cost.forward_flops` does: products of matrices, convolutions and attention,
    a multiplication and an addition as two. Attention grows with the square of `seconds`.

    Args:
        config: of the full encoder.
        subnet: see `Subnet`.
        seconds: of an utterance.

    Raises:
        ValueError: no frame in so few seconds.

    Example:
        >>> from hf_rspin.elastic.slices import full_subnet
        >>> 10 * subnet_flops(HubertConfig(), full_subnet(HubertConfig()), 10.0) / 1e9
        148.133046272
    """
    samples, inputs, total = round(seconds * SAMPLING_RATE), 1, 0
    for channels, kernel, stride in zip(
        config.conv_dim, config.conv_kernel, config.conv_stride, strict=True
    ):
        samples = (samples - kernel) // stride + 1
        total += samples * channels * inputs * kernel
        inputs = channels
    frames, width, kernel = samples, subnet.width, config.num_conv_pos_embeddings
    if frames < 1:
        raise ValueError(f"seconds is {seconds:g}, less than one frame; expected 1 or more.")
    total += frames * inputs * width
    # an even kernel makes a frame too many, which is cut off
    rows = frames + (1 if kernel % 2 == 0 else 0)
    total += rows * width * (width // config.num_conv_pos_embedding_groups) * kernel
    for heads, feed_forward in zip(subnet.heads, subnet.feed_forward, strict=True):
        inner = heads * head_size(config)
        total += frames * 4 * width * inner + 2 * frames**2 * inner
        total += frames * 2 * width * feed_forward
    return 2 * total / seconds


def _convolution_parameters(config: PreTrainedConfig) -> int:
    total, inputs = 0, 1
    for place, (channels, kernel) in enumerate(
        zip(config.conv_dim, config.conv_kernel, strict=True)
    ):
        has_norm = config.feat_extract_norm == "layer" or place == 0
        total += channels * (inputs * kernel + config.conv_bias + 2 * has_norm)
        inputs = channels
    return total
