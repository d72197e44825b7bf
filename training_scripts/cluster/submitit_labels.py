"""Submit the array of labels.sbatch from Python, with submitit (`pip install submitit`).

    python submitit_labels.py /data/speech_tars runs/spin runs/labels 16
"""

import sys

import submitit

from hf_rspin.commands.labels import main


def run(corpus: str, model: str, output: str, shard: int, num_shards: int) -> None:
    """Make the labels of one part; submitit calls it on a node."""
    main(["--corpus", corpus, "--units", "spin", "--model", model, "--output_dir", output,
          "--shard", str(shard), "--num_shards", str(num_shards)])  # fmt: skip


if __name__ == "__main__":
    *places, count = sys.argv[1:]
    parts = int(count)
    executor = submitit.AutoExecutor(folder="runs/submitit")
    executor.update_parameters(timeout_min=720, gpus_per_node=1, cpus_per_task=8, mem_gb=64)
    jobs = executor.map_array(
        run, *([place] * parts for place in places), range(parts), [parts] * parts
    )
    print(f"submitted {len(jobs)} jobs, logs in runs/submitit")
