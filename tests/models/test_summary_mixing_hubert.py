"""HuBERT with SummaryMixing: a type of its own, its folder, and the conversion of a HuBERT."""

import json
import subprocess
import sys

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModel, AutoModelForCTC, HubertConfig, HubertModel

from hf_rspin import (
    RSpinModel,
    SummaryMixing,
    SummaryMixingHubertConfig,
    SummaryMixingHubertModel,
    convert_attention,
    load_encoder,
)
from hf_rspin.adapters import add_lora, merge_lora
from hf_rspin.models.encoder import layers_of

from .conftest import NO_DROPOUT, SIZES, STABLE

STRANGER = """
import sys

class Blocker:
    def find_spec(self, name, *arguments):
        if name.split(".")[0] == "hf_rspin":
            raise ImportError("hf_rspin is not installed here")

sys.meta_path.insert(0, Blocker())
import torch
from transformers import AutoModel, AutoModelForCTC

folder = sys.argv[1]
given = torch.load(f"{folder}/given.pt")
for name in ("plain", "spin"):
    place = f"{folder}/{name}"
    for again in range(2):  # the second time as a stranger saved it
        model = AutoModel.from_pretrained(place, trust_remote_code=True).eval()
        found = model(given["waveforms"], given["mask"]).last_hidden_state
        torch.testing.assert_close(found, given["states"], rtol=1e-5, atol=1e-5)
        print(type(model).__name__)
        place = f"{folder}/{name}_again"
        model.save_pretrained(place)
    ctc = AutoModelForCTC.from_pretrained(f"{folder}/{name}", trust_remote_code=True).eval()
    found = ctc.base_model(given["waveforms"], given["mask"]).last_hidden_state
    torch.testing.assert_close(found, given["states"], rtol=1e-5, atol=1e-5)
try:
    AutoModel.from_pretrained(f"{folder}/plain", trust_remote_code=False)
except ValueError as error:
    print("refused" if "trust_remote_code=True" in str(error) else error)
"""


def build(**options):
    torch.manual_seed(0)
    return SummaryMixingHubertModel(SummaryMixingHubertConfig(**SIZES, **options)).eval()


def waveforms(samples=6000):
    return 0.1 * torch.randn(2, samples, generator=torch.Generator().manual_seed(1))


def padded(samples=6000, padding=2500):
    mask = torch.ones(2, samples, dtype=torch.long)
    mask[1, samples - padding :] = 0
    return waveforms(samples) * mask, mask


@pytest.mark.parametrize("mixing", ["full", "lite"])
@pytest.mark.parametrize("stable", [False, True])
def test_a_padded_utterance_gives_what_it_gives_alone(mixing, stable):
    model = build(mixing=mixing, **(STABLE | {"do_stable_layer_norm": stable}))
    wave, mask = padded()
    alone = model(wave[1:, :3500]).last_hidden_state
    found = model(wave, mask).last_hidden_state[1:, : alone.shape[1]]
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model(wave).last_hidden_state[1:, : alone.shape[1]], alone, atol=1e-3)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_choice_of_an_attention_changes_nothing(attention, tmp_path):
    model, (wave, mask) = build(), padded()
    wanted = model(wave, mask).last_hidden_state
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path, attn_implementation=attention).eval()
    assert torch.equal(loaded(wave, mask).last_hidden_state, wanted)
    model.set_attn_implementation(attention)
    output = model(wave, mask, output_hidden_states=True, output_attentions=True)
    assert torch.equal(output.last_hidden_state, wanted)
    assert len(output.hidden_states) == 4 and output.attentions is None
    assert "_attn_implementation" not in json.loads((tmp_path / "config.json").read_text())


def test_the_mask_never_grows_with_the_square_of_the_frames():
    model, seen = build(), []
    layer = layers_of(model)[0].attention
    layer.register_forward_pre_hook(
        lambda _, given, options: seen.append(options["attention_mask"]), with_kwargs=True
    )
    model(*padded())
    model(waveforms())
    assert seen[0].shape == (2, 18) and seen[0].dtype == torch.bool and seen[1] is None


def test_it_is_a_type_of_its_own(tmp_path):
    model = build(mixing="lite", mixing_heads=2, mixing_dropout=0.3)
    model.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    assert type(config) is SummaryMixingHubertConfig
    assert (config.model_type, config.mixing) == ("summary-mixing-hubert", "lite")
    assert (config.mixing_heads, config.mixing_dropout) == (2, 0.3)
    for loaded in (AutoModel.from_pretrained(tmp_path), load_encoder(tmp_path)):
        assert type(loaded) is SummaryMixingHubertModel
        assert all(type(one.attention).__mro__[1] is SummaryMixing for one in layers_of(loaded))
        assert torch.equal(loaded.eval()(waveforms()).last_hidden_state,
                           model(waveforms()).last_hidden_state)  # fmt: skip
    assert not hasattr(model.config, "auto_map")  # of the folder, not of the model


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mixing": "fast"}, "mixing is 'fast'; expected one of full, lite"),
        ({"mixing_heads": 3}, "mixing_heads is 3; expected .* divides the width"),
        ({"mixing_dropout": 1.5}, "mixing_dropout is 1.5; expected a probability below 1"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused(fields, message):
    with pytest.raises(Exception, match=message):
        SummaryMixingHubertConfig(**SIZES, **fields)


def test_a_process_without_the_package_loads_and_passes_it_on(tmp_path):
    model, (wave, mask) = build(**STABLE), padded()
    model.save_pretrained(tmp_path / "plain")
    spin = RSpinModel.from_pretrained(tmp_path / "plain", codebook_size=6, projection_size=8)
    spin.save_pretrained(tmp_path / "spin")
    states = model(wave, mask).last_hidden_state.detach()
    torch.save({"waveforms": wave, "mask": mask, "states": states}, tmp_path / "given.pt")
    run = subprocess.run(
        [sys.executable, "-c", STRANGER, str(tmp_path)], capture_output=True, text=True, timeout=200
    )
    assert run.returncode == 0, run.stderr[-2000:]
    plain, heads = 2 * ["SummaryMixingHubertModel"], 2 * ["RSpinModel"]
    assert run.stdout.split() == [*plain, *heads, "refused"]


def test_a_ctc_model_is_saved_whole(tmp_path):
    build().save_pretrained(tmp_path / "plain")
    model = AutoModelForCTC.from_pretrained(tmp_path / "plain", vocab_size=9).eval()
    model.save_pretrained(tmp_path / "ctc")
    again = AutoModelForCTC.from_pretrained(tmp_path / "ctc").eval()
    assert type(again).__name__ == "SummaryMixingHubertForCTC"
    assert torch.equal(again(waveforms()).logits, model(waveforms()).logits)
    model.train()(waveforms(), labels=torch.tensor([[1, 2], [3, 4]])).loss.backward()
    assert layers_of(model.hubert)[0].attention.combine.weight.grad.any()


@pytest.mark.parametrize("heads", [1, 2])
def test_lora_adapts_every_linear_layer_of_the_mixing_and_merges(heads):
    model = build(mixing_heads=heads)
    adapted = add_lora(model, rank=2)
    names = {n.split(".lora_B")[0] for n, _ in adapted.named_parameters() if ".lora_B" in n}
    assert len(names) == 3 * (4 * heads + 1)
    for name, parameter in adapted.named_parameters():
        if ".lora_B" in name:
            torch.nn.init.normal_(parameter)
    wanted = adapted.eval()(input_values=waveforms()).last_hidden_state
    merged = merge_lora(adapted)(waveforms()).last_hidden_state
    torch.testing.assert_close(merged, wanted, rtol=1e-4, atol=1e-5)


# The conversion


def hubert(**options):
    torch.manual_seed(0)
    return HubertModel(HubertConfig(**SIZES, **NO_DROPOUT, **options)).eval()


@pytest.mark.parametrize("stable", [False, True])
def test_only_the_attention_is_new(stable):
    source = hubert(do_stable_layer_norm=stable, activation_dropout=0.0)
    before = {name: value.clone() for name, value in source.state_dict().items()}
    made = convert_attention(source, "full", heads=2, dropout=0.0)
    found = made.state_dict()
    for name, value in before.items():
        assert torch.equal(source.state_dict()[name], value)
        assert (".attention." in name) == (name not in found), name
        assert name not in found or torch.equal(found[name], value), name
    fresh = found.keys() - before.keys()
    assert fresh and all(".attention." in name for name in fresh)
    assert made.config.do_stable_layer_norm is stable and made.config.hidden_dropout == 0
    assert made.config.model_type == "summary-mixing-hubert" and not made.training
    # where the mixing says nothing, what is left is the same
    for layer, original in zip(layers_of(made), layers_of(source), strict=True):
        for linear in (layer.attention.combine, original.attention.out_proj):
            torch.nn.init.zeros_(linear.weight)
            torch.nn.init.zeros_(linear.bias)
    torch.testing.assert_close(
        made(waveforms()).last_hidden_state, source(waveforms()).last_hidden_state
    )


def test_only_a_hubert_is_converted():
    with pytest.raises(ValueError, match="got a SummaryMixingHubertModel; expected a plain Hubert"):
        convert_attention(build())
    with pytest.raises(Exception, match="mixing_heads is 3"):
        convert_attention(hubert(), heads=3)
    with pytest.raises(ValueError, match="the encoder has adapter_attn_dim 4"):
        convert_attention(hubert(adapter_attn_dim=4))
    adapted = get_peft_model(hubert(), LoraConfig(target_modules=["intermediate_dense"]))
    with pytest.raises(ValueError, match="has an adapter of peft; expected plain weights: merge"):
        convert_attention(adapted.get_base_model())


def test_the_script_makes_a_folder_or_nothing(main, tmp_path, capsys):
    hubert().save_pretrained(tmp_path / "hubert")
    main("convert_attention", tmp_path / "hubert", tmp_path / "made", "--mixing", "lite")
    assert "parameters became" in capsys.readouterr().out
    loaded = load_encoder(tmp_path / "made")
    assert type(loaded) is SummaryMixingHubertModel and loaded.config.mixing == "lite"
    assert (tmp_path / "made" / "preprocessor_config.json").is_file()
    with pytest.raises(SystemExit, match="expected a plain HubertModel"):
        main("convert_attention", tmp_path / "made", tmp_path / "twice")
    with pytest.raises(SystemExit, match="mixing_heads is 3"):
        main("convert_attention", tmp_path / "hubert", tmp_path / "twice", "--heads", 3)
    assert not (tmp_path / "twice").exists() and len(list(tmp_path.iterdir())) == 2
    before = {file: file.read_bytes() for file in (tmp_path / "made").iterdir()}
    file = tmp_path / "made" / "config.json"
    for place, message in ((tmp_path / "made", "is not empty: name a new folder"),
                           (file, "is a file; expected a folder for the converted"),
                           (file / "deep" / "er", "config.json is a file; ")):  # fmt: skip
        with pytest.raises(SystemExit, match=message):  # before the encoder is looked for
            main("convert_attention", tmp_path / "nowhere", place)
    assert {file: file.read_bytes() for file in (tmp_path / "made").iterdir()} == before


def test_the_benchmark_of_lengths(main, capsys):
    main("benchmark", "scaling", "--size", "tiny", "--seconds", 0.5, 1, "--repeats", 1,
         "--encoders", "sdpa", "--work", "forward")  # fmt: skip
    one = json.loads(capsys.readouterr().out)
    assert one["time_s"] > 0 and one.keys() == {"time_s", "peak_bytes"}
    with pytest.raises(SystemExit, match="encoders: got 'linear'; expected sdpa, ours"):
        main("benchmark", "scaling", "--encoders", "linear")
    benchmark = sys.modules["benchmarks.scaling"]
    assert type(benchmark.build("lite", "tiny")) is SummaryMixingHubertModel
    arguments = benchmark.ScalingArguments(["sdpa", "full"], [5.0, 120.0], "tiny")
    cells = [
        {"encoder": "sdpa", "work": "forward", "seconds": 5.0, "time_s": 0.25, "peak_bytes": 3e9},
        {"encoder": "full", "work": "training", "seconds": 120.0, "failed": "out of memory"},
    ]
    text = benchmark.describe(cells, arguments)
    assert "| 5 | 0.250 | – |" in text and "| 5 | 3.000 | – |" in text
    assert "| 120 | – | – |" in text and "full, training, 120 s: out of memory" in text


def test_the_benchmark_of_lengths_goes_on_where_it_stopped(main, tmp_path, capsys):
    options = ("--size", "tiny", "--seconds", 0.5, "--repeats", 1, "--encoders", "sdpa")
    about = {"torch": torch.__version__, "threads": torch.get_num_threads(), "size": "tiny",
             "utterances": 1, "device": "cpu", "bf16": False, "repeats": 1}  # fmt: skip
    cell = {"encoder": "sdpa", "seconds": 0.5, "time_s": 123.0, "peak_bytes": 4e9}
    other = {**cell, "encoder": "full", "work": "forward"}  # of another call: stays
    cells = [{**cell, "work": "forward"}, {**cell, "work": "training", "time_s": 77.0}, other]
    file = tmp_path / "scaling.json"
    file.write_text(json.dumps({"about": about, "cells": cells}))
    main("benchmark", "scaling", *options, "--output", tmp_path)
    assert "| 0.5 | 123.000 |" in capsys.readouterr().out
    assert json.loads(file.read_text()) == {"about": about, "cells": cells}
    before = sys.modules["benchmarks.scaling"].measured_before
    assert len(before(file, about)) == 3
    assert before(tmp_path / "none.json", about) == {}
    with pytest.raises(SystemExit, match=r"measured with repeats 1 \(now 2\): name"):
        main("benchmark", "scaling", *options, "--repeats", 2, "--output", tmp_path)
    assert len(before(file, about)) == 3  # nothing is lost
    file.write_text(json.dumps({"about": about, "cells": [{**cells[0], "failed": "memory"}]}))
    assert before(file, about) == {}  # what failed is tried again
    file.write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        before(file, about)
