"""YAML configs and command-line overrides."""

import re
from dataclasses import dataclass, field, fields

import pytest

from hf_rspin.training import TwoViewTrainingArguments
from hf_rspin.training.cli import parse_arguments, with_names


@dataclass
class Options:
    """A few kinds of options."""

    name: str = "a"
    rate: float = 1.0
    layer: int = 3
    flag: bool = False
    items: list[str] = field(default_factory=list)
    extra: dict | str | None = None


def parse(tmp_path, text, *arguments):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return parse_arguments(Options, arguments=[str(path), *arguments])[0]


def test_the_command_line_overrides_the_file(tmp_path):
    text = "name: b\nrate: 1.0e-4\nlayer: -1\nflag: true\nitems: [x, y]\nextra: {k: 1}\n"
    options = parse(tmp_path, text)
    assert options == Options("b", 1e-4, -1, True, ["x", "y"], '{"k": 1}')
    options = parse(tmp_path, text, "--name", "c", "--layer=-2", "--items", "z", "--flag", "false")
    assert options == Options("c", 1e-4, -2, False, ["z"], '{"k": 1}')


def test_what_is_unknown_or_missing_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"nmae in .*config.yaml is no .*did you mean name\?"):
        parse(tmp_path, "nmae: b\n")
    with pytest.raises(SystemExit, match=r"--layers is no option.*did you mean layer\?"):
        parse(tmp_path, "name: b\n", "--layers", "3")
    with pytest.raises(SystemExit, match="--ra is no option"):  # no abbreviation of rate
        parse(tmp_path, "name: b\n", "--ra", "3")
    with pytest.raises(SystemExit, match="'stray' belongs to no option"):
        parse_arguments(Options, arguments=["stray"])
    with pytest.raises(SystemExit, match="does not exist"):
        parse_arguments(Options, arguments=[str(tmp_path / "no.yaml")])
    with pytest.raises(SystemExit, match="expected lines"):
        parse(tmp_path, "- 1\n- 2\n")
    with pytest.raises(SystemExit, match=r"config.yaml is no YAML that can be used: .*line 2"):
        parse(tmp_path, "name: [b\nrate: {\n")


def test_aliases_are_followed_and_bombs_refused(tmp_path):
    lists = ["a: &a [x, y]"] + [f"{n}: &{n} [{', '.join([f'*{m}'] * 10)}]" for m, n in zip(
        "abcdefgh", "bcdefghi", strict=True)]  # fmt: skip
    merges = ["a: &a {k: v}"] + [f"{n}: &{n} {{<<: [{', '.join([f'*{m}'] * 10)}]}}" for m, n in zip(
        "abcdefgh", "bcdefghi", strict=True)]  # fmt: skip
    for text in ("\n".join(lists), "\n".join(merges), "items: &a [*a]\n"):
        with pytest.raises(SystemExit, match="aliases stand for more than 10000 values"):
            parse(tmp_path, text)
    for text in (f"items: {'[' * 3000}{']' * 3000}\n", "name: 2026-13-45\n"):
        with pytest.raises(SystemExit, match="config.yaml is no YAML that can be used"):
            parse(tmp_path, text)
    options = parse(tmp_path, "name: &n b\nitems: [*n, *n]\nextra: {k: 2026-10-12}\n")
    assert options == Options("b", items=["b", "b"], extra='{"k": "2026-10-12"}')


def test_of_several_files_the_later_wins(tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("batch_seconds: 20\nmax_steps: 5\n")
    second.write_text("batch_seconds: 30\n")
    (found,) = parse_arguments(
        TwoViewTrainingArguments, arguments=[str(first), str(second), "--learning_rate", "0.1"]
    )
    assert (found.batch_seconds, found.max_steps, found.learning_rate) == (30, 5, 0.1)
    second.write_text("batch_secconds: 30\n")
    with pytest.raises(SystemExit, match=r"batch_secconds in .*second.yaml is no option"):
        parse_arguments(TwoViewTrainingArguments, arguments=[str(first), str(second)])


def test_wrong_values_are_one_sentence_without_the_usage(tmp_path, capsys):
    with pytest.raises(SystemExit) as found:
        parse(tmp_path, "rate: fast\n")
    assert found.value.code == 2
    assert capsys.readouterr().err == "argument --rate: invalid float value: 'fast'; see --help.\n"
    with pytest.raises(SystemExit, match=r"^batch_seconds is 0; it must be above 0\.$"):
        parse_arguments(TwoViewTrainingArguments, arguments=["--batch_seconds", "0"])
    with pytest.raises(SystemExit, match=r"^max_steps is 0; expected updates"):
        parse_arguments(TwoViewTrainingArguments, arguments=["--max_steps", "0"])


def test_help_shows_each_option_once_and_ours_only(capsys):
    with pytest.raises(SystemExit) as found:
        parse_arguments(Options, TwoViewTrainingArguments, arguments=["--help"])
    assert found.value.code == 0
    text = capsys.readouterr().out
    for name in ("name", "rate", "items", "batch_seconds", "learning_rate", "output_dir"):
        assert len(re.findall(rf"^  --{name}\b", text, re.MULTILINE)) == 1
    assert "--logging_dir" not in text and "(default: 0.0001)" in text
    assert max(map(len, text.splitlines())) <= 100 and len(text.splitlines()) < 90
    with pytest.raises(SystemExit):
        parse_arguments(TwoViewTrainingArguments, arguments=["--help_all"])
    every = capsys.readouterr().out
    assert {f"--{f.name}" for f in fields(TwoViewTrainingArguments) if f.init} <= set(every.split())


def test_first_words_are_values_of_options():
    words = ["encoder", "output"]
    assert with_names(["a", "b", "--x", "c"], words) == ["--encoder=a", "--output=b", "--x", "c"]
    assert with_names(["a", "--x", "c"], words) == ["--encoder=a", "--x", "c"]
    assert with_names(["my.yaml", "a=b c"], words) == ["my.yaml", "--encoder=a=b c"]
    for given in ([], ["--help"], ["my.yaml", "--encoder", "x"]):
        assert with_names(given, words) == given
