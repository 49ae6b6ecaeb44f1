"""Soak tests, which take minutes and are run by hand.

    python tests/soak.py kills --count 24 --workers 2 [--ranks 2]
    python tests/soak.py memory --iterations 2000 --evaluations 20

`kills` kills a training with -9 at random moments, most of them while a checkpoint is written, and
resumes it each time; the weights must end bit for bit as those of a training that nobody killed,
metrics.json without gap or repeat, and no checkpoint may ever be unreadable. `memory` watches
resident memory and file handles of a long training.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.processes import ROOT, Ranks
from tests.tiny_run import command

ITERATIONS = 160


def generate(folder: Path) -> Path:
    """Generates the tiny dataset."""
    script = ROOT / "datasets" / "generate_shapes.py"
    words = ["--output", str(folder), "--train", "6", "--val", "2", "--size", "97"]
    subprocess.run([sys.executable, str(script), *words], check=True)
    return folder


def readable(folder: Path) -> int:
    """Reads every checkpoint of a folder; returns how many there are."""
    found = [path for path in folder.glob("model_*.pth") if "partial" not in path.name]
    for path in found:
        torch.load(path)
    return len(found)


def kill_at_random(ranks: Ranks, folder: Path, dice: random.Random) -> str:
    """Kills a random rank at a random moment, or while a checkpoint is written."""
    rank = dice.randrange(len(ranks.processes))
    in_write, skipped = dice.random() < 0.5, dice.randrange(4)
    left = set(folder.glob("*partial*"))  # by the one that was killed before
    end = time.monotonic() + (60 if in_write else dice.uniform(1, 8))
    while time.monotonic() < end and ranks.processes[rank].is_alive():
        there = set(folder.glob("*partial*"))
        left &= there  # until the new one has swept
        if in_write and there - left:
            if not skipped:
                break
            skipped -= 1
            time.sleep(0.3)
        time.sleep(0.0005)
    if not ranks.processes[rank].is_alive():
        return ""
    ranks.kill(rank)
    half = len(list(folder.glob("*partial*")))
    return f"rank {rank}, {half} half-written files"


def soak_kills(args: argparse.Namespace, folder: Path) -> None:
    """Compares a training that is killed again and again with one that is not."""
    data, dice = generate(folder / "data"), random.Random(args.seed)
    changes = {
        "SEED": 5,
        "SOLVER.MAX_ITER": ITERATIONS,
        "SOLVER.CHECKPOINT_PERIOD": 3,
        "CHECKPOINTER.MAX_TO_KEEP": 3,
        "DATALOADER.NUM_WORKERS": args.workers,
        "SOLVER.IMS_PER_BATCH": 2,
        "TEST.EVAL_PERIOD": 20,
    }
    for name in ("whole", "killed"):
        (folder / name).mkdir()
    Ranks(args.ranks, "train", command(data, folder / "whole", **changes), folder).succeed()
    output, kills = folder / "killed", 0
    words = command(data, output, "--resume", **changes)
    while True:
        ranks = Ranks(args.ranks, "train", words, folder)
        if kills >= args.count:
            ranks.succeed()
            break
        how = kill_at_random(ranks, output, dice)
        statuses = ranks.finish()
        if not how:
            assert statuses == [0] * args.ranks, ranks.said()
            break
        kills += 1
        last = output / "last_checkpoint"
        at = last.read_text() if last.exists() else "none"
        print(f"kill {kills}: {how}; last checkpoint {at}, {readable(output)} whole", flush=True)
    states = [torch.load(folder / n / "model_final.pth")["model"] for n in ("whole", "killed")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    lines = [
        [json.loads(line)["iteration"] for line in (folder / n / "metrics.json").open()]
        for n in ("whole", "killed")
    ]
    assert lines[0] == lines[1], lines
    print(f"{kills} kills: weights bit-identical, metrics.json of iterations {lines[1]}")


def soak_memory(args: argparse.Namespace, folder: Path) -> None:
    """Prints memory and handles of a long training, and refuses growth."""
    data = generate(folder / "data")
    changes = {
        "SEED": 5,
        "SOLVER.MAX_ITER": args.iterations,
        "SOLVER.CHECKPOINT_PERIOD": 100,
        "CHECKPOINTER.MAX_TO_KEEP": 2,
        "TEST.EVAL_PERIOD": args.iterations // args.evaluations,
        "DATALOADER.NUM_WORKERS": 2,
    }
    (folder / "run").mkdir()
    ranks = Ranks(1, "train", command(data, folder / "run", **changes), folder)
    (process,) = ranks.processes
    seen, log = [], folder / "run" / "log.txt"
    while process.is_alive():
        time.sleep(10)
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
            handles = len(os.listdir(f"/proc/{process.pid}/fd"))
        except OSError:
            break
        (resident,) = (x for x in status.splitlines() if x.startswith("VmRSS"))
        said = log.read_text() if log.exists() else ""
        at = int((re.findall(r"INFO: iter (\d+)", said) or ["0"])[-1])
        seen.append((at, int(resident.split()[1]) // 1024, handles))
        print(f"iteration {at}: {seen[-1][1]} MiB, {handles} handles", flush=True)
    ranks.succeed()
    late = [x for x in seen if x[0] > args.iterations // 5]
    print(
        f"MiB {min(x[1] for x in late)} to {max(x[1] for x in late)}, "
        f"handles {min(x[2] for x in late)} to {max(x[2] for x in late)}"
    )


def main() -> None:
    """Runs one of the soak tests in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["kills", "memory"])
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--evaluations", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        {"kills": soak_kills, "memory": soak_memory}[args.what](args, Path(folder))


if __name__ == "__main__":
    main()
