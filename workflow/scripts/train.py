"""Train one run; the same command goes on where an interrupted one stood."""

import argparse
import json
import sys
from pathlib import Path

from scaling import provenance
from scaling.training import launch


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=json.loads, required=True, help="the run's description as JSON")
    parser.add_argument("--train", type=Path, required=True, help=".npy of the training tokens")
    parser.add_argument("--test", type=Path, required=True, help=".npy of the test tokens")
    parser.add_argument("--sets", nargs="*", default=[], help="names of the sets it will be evaluated on")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--threads", type=int, default=1, help="threads of all processes together")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--processes", type=int, default=1, help="processes, or GPUs, of all nodes")
    parser.add_argument("--nodes", type=int, default=1, help="nodes of the Slurm job to use; above 1 by srun")
    parser.add_argument("--parallel", choices=["auto", "ddp", "fsdp"], default="auto")
    parser.add_argument("--micro-batch", default="auto", help="sequences at a time in each process, or auto")
    parser.add_argument("--compile", choices=["auto", "True", "False"], default="auto")
    parser.add_argument("--minutes", type=float, default=0, help="time limit of the job, 0 for none")
    parser.add_argument(
        "--requeue",
        action="store_true",
        help="take Slurm's time limit, be queued again by it",
    )
    parser.add_argument("--gpu-percent", type=int, default=100, help="share of a GPU's memory to use")
    args = parser.parse_args()
    sys.exit(launch.launch(vars(args)))


if __name__ == "__main__":
    provenance.run(main)
