"""The simulation of the bookkeeping of a large corpus runs, here for six hours."""

import pytest


def test_all_parts_are_timed_and_nothing_is_left(main, tmp_path, capsys):
    output = tmp_path / "book"
    main("benchmark", "bookkeeping", "--hours", 6, "--num_parts", 4, "--reads", 50,
         "--batch_seconds", 60, "--piece_hours", 2, "--output_dir", output)  # fmt: skip
    said = capsys.readouterr().out
    assert "6 shards, 2 of them of the first process" in said and said.count(" GB\n") == 11
    assert not output.exists()
    output.mkdir()
    (output / "notes").write_text("mine")
    with pytest.raises(SystemExit, match="book is not empty; name a new folder"):
        main("benchmark", "bookkeeping", "--hours", 6, "--output_dir", output)
    assert (output / "notes").exists()
