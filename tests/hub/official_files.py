"""Checkpoints as the authors' code writes them, made of tiny encoders of transformers.

The names are mapped backwards by plain string replacement, independently of the converter.
"""

import argparse
import re

import torch
from transformers import (
    Data2VecAudioConfig,
    Data2VecAudioModel,
    HubertConfig,
    HubertModel,
    WavLMConfig,
    WavLMModel,
)

SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
LARGE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
POSITIONS = {"num_conv_pos_embeddings": 5, "conv_pos_kernel_size": 19}  # of data2vec
FAMILIES = {
    "hubert": (HubertConfig, HubertModel),
    "wavlm": (WavLMConfig, WavLMModel),
    "data2vec": (Data2VecAudioConfig, Data2VecAudioModel),
}
LONG = [  # ours, theirs
    ("feature_projection.layer_norm.", "layer_norm."),
    ("feature_projection.projection.", "post_extract_proj."),
    ("encoder.pos_conv_embed.conv.", "encoder.pos_conv.0."),
    (".attention.rel_attn_embed.", ".self_attn.relative_attention_bias."),
    (".attention.gru_rel_pos_const", ".self_attn.grep_a"),
    (".attention.gru_rel_pos_linear.", ".self_attn.grep_linear."),
    (".attention.", ".self_attn."),
    (".feed_forward.intermediate_dense.", ".fc1."),
    (".feed_forward.output_dense.", ".fc2."),
    ("masked_spec_embed", "mask_emb"),
]
CODES, DIM = 6, 5


def build(family="hubert", **options):
    """Return an encoder in eval mode, no two of its weights alike."""
    torch.manual_seed(0)
    config_class, model_class = FAMILIES[family]
    model = model_class(config_class(**(SIZES | options))).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


def official_name(name, large=False):
    """Return the name in fairseq of a weight of transformers."""
    if name.startswith("feature_extractor."):
        norm = ".2.1." if large else ".2."
        return name.replace(".conv.", ".0.").replace(".layer_norm.", norm)
    if name.startswith("encoder.layers."):
        name = name.replace(".layer_norm.", ".self_attn_layer_norm.")
    for ours, theirs in LONG:
        name = name.replace(ours, theirs)
    name = re.sub(r"pos_conv_embed\.layers\.(\d)\.conv", r"pos_conv.\1.0", name)
    name = name.replace("parametrizations.weight.original0", "weight_g")
    return name.replace("parametrizations.weight.original1", "weight_v")


def official_weights(model, prefix=""):
    """Return the state dict of an encoder in the official names, with pre-training's extras."""
    large = getattr(model.config, "feat_extract_norm", "layer") == "layer"
    weights = {
        prefix + official_name(name, large): value.clone()
        for name, value in model.state_dict().items()
    }
    weights[prefix + "label_embs_concat"] = torch.rand(4, 3)
    return weights


def head_weights():
    """Return projection weight, projection bias and codebook (unit rows)."""
    generator = torch.Generator().manual_seed(2)
    codebook = torch.randn(CODES, DIM, generator=generator)
    return (
        torch.randn(DIM, SIZES["hidden_size"], generator=generator),
        torch.randn(DIM, generator=generator),
        torch.nn.functional.normalize(codebook, dim=1),
    )


def spin_checkpoint(model, hyper_parameters=None):
    """Return the content of an official Spin .ckpt."""
    weight, bias, codebook = head_weights()
    weights = official_weights(model, "encoder.model.")
    weights |= {"pred_head.layers.0.weight": weight, "pred_head.layers.0.bias": bias}
    weights["loss_module.codebook.weight"] = codebook
    return {
        "epoch": 3,
        "global_step": 5000,
        "pytorch-lightning_version": "1.9.5",
        "state_dict": weights,
        "optimizer_states": [{"state": {0: {"exp_avg": torch.rand(7)}}, "param_groups": []}],
        "hyper_parameters": hyper_parameters or {},
    }


def rspin_checkpoint(model):
    """Return the content of an official R-Spin .pt."""
    weight, bias, codebook = head_weights()
    weights = official_weights(model, "encoder.")
    weights |= {"pred_head.weight": weight, "pred_head.bias": bias, "codebook.weight": codebook}
    return {"cfg": {"codebook_dim": DIM, "codebook_size": CODES}, "state_dict": weights}


def fairseq_checkpoint(model, **cfg):
    """Return the content of a fairseq .pt; `cfg` joins its settings of the model."""
    weights = official_weights(model)
    weights |= {"final_proj.weight": torch.rand(3, 32), "final_proj.bias": torch.rand(3)}
    settings = {"encoder_layers": 2, "encoder_attention_heads": 4, "layer_norm_first": False}
    task = {"_name": "hubert_pretraining", "normalize": False}
    return {
        "args": None,
        "cfg": {"model": settings | cfg, "task": task},
        "model": weights,
        "extra_state": {"train_iterator": {"epoch": 2}},
    }


def data2vec_checkpoint(model, **cfg):
    """Return the content of a data2vec .pt of fairseq, its moving average included."""
    weights = official_weights(model) | {"final_proj.0.weight": torch.rand(32, 32)}
    del weights["label_embs_concat"]
    weights["_ema"] = {
        name.removeprefix("encoder."): torch.rand_like(value)
        for name, value in weights.items() if name.startswith("encoder.layers.")
    }  # fmt: skip
    depth = model.config.num_conv_pos_embeddings
    settings = {
        "_name": "data2vec_audio", "extractor_mode": "layer_norm", "layer_norm_first": False,
        "encoder_layers": 2, "encoder_attention_heads": 4, "pos_conv_depth": depth,
        "conv_pos": depth * model.config.conv_pos_kernel_size,
    }  # fmt: skip
    task = {"_name": "audio_pretraining", "normalize": True}
    return {"args": None, "cfg": {"model": settings | cfg, "task": task}, "model": weights}


def contentvec_checkpoint(model, **cfg):
    """Return the content of a ContentVec .pt, one layer of which reads speaker embeddings."""
    content = fairseq_checkpoint(model, _name="contentvec", encoder_layers_1=1, **cfg)
    weights = content["model"]
    last = {n: v for n, v in weights.items() if n.startswith("encoder.layers.1.")}
    for name, value in last.items():
        if "layer_norm." in name:  # Linear(speaker embedding -> channels), without bias
            name = re.sub(r"\.(weight|bias)$", r".\1_ln.weight", name)
            value = torch.rand(32, 6)
        weights[name.replace("layers.1.", "layers.2.")] = value
    for part in ("weight", "bias"):
        weights[f"encoder.cond_layer_norm.{part}_ln.weight"] = torch.rand(32, 6)
        weights[f"layer_proj.{part}"] = torch.rand(3)
    return content


def s3prl_checkpoint(content):
    """Return the content that s3prl makes of a fairseq .pt."""
    return {
        "task_cfg": content["cfg"]["task"],
        "model_cfg": content["cfg"]["model"],
        "model_weight": content["model"],
        "dictionaries_symbols": [["<s>", "<pad>", "0", "1"]],
    }


def distilled():
    """Return a HuBERT of the layout of DistilHuBERT: no norm in front of the projection."""
    return build(feat_proj_layer_norm=False, mask_time_prob=0.0)


def distiller_checkpoint(model, **config):
    """Return the content of a DistilHuBERT .ckpt of s3prl, its prediction heads included."""
    weights = official_weights(model)
    del weights["label_embs_concat"]
    weights |= {"output_layer.0.weight": torch.rand(64, 32), "output_layer.0.bias": torch.rand(64)}
    weights |= {"output_layer.2.weight": torch.rand(2, 32, 32)}
    settings = {
        "extractor_mode": "default", "encoder_layers": 2, "encoder_embed_dim": 32,
        "encoder_attention_heads": 4, "activation_fn": "gelu", "layer_norm_first": False,
        "attention_type": "original", "task_emb_type": "expand-last", "n_tasks": 2,
        "extractor_conv_feature_layers": "[(8,10,5)] + [(8,3,2)] * 4 + [(8,2,2)] * 2",
    }  # fmt: skip
    return {
        "Optimizer": {"state": {0: {"exp_avg": torch.rand(7)}}, "param_groups": []},
        "Step": 200_000,
        "Args": argparse.Namespace(upstream="distiller", seed=1337),
        "Distiller": weights,
        "Config": {"distiller": settings | config, "teacher": {"model": "hubert_base"}},
    }


def official_codes(states):
    """Return the codes of hidden states (..., hidden), as the authors' code finds them."""
    weight, bias, codebook = head_weights()
    z = torch.nn.functional.normalize(states @ weight.T + bias, dim=-1)
    return (z @ codebook.T).argmax(dim=-1)
