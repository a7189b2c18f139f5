"""Two processes on the CPU: whether distributed training keeps masks and weights the same.

``spawn`` starts one process per rank on a script of the caller; the script wraps its work in
``join`` and describes what it saw by ``report_rank``.
"""

import copy
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD

from overparam.masks import Masks, mask_sha
from overparam.plain import plain_state
from overparam.testing.laws import Inputs, assert_masked_zeros


def spawn(command: Sequence[str], *, world: int = 2, timeout: float = 600.0) -> None:
    """Run ``python <command>`` once per rank and wait for all.

    Args:
        command: Script and its arguments, or ``-m`` and a module.
        world: Number of processes.
        timeout: Seconds after which the processes are ended and the law counts as broken.

    Raises:
        AssertionError: If a rank fails; the message holds the end of what it printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        shared = {
            **os.environ,
            "WORLD_SIZE": str(world),
            "OVERPARAM_RENDEZVOUS": str(Path(folder, "rendezvous")),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *filter(None, sys.path)]),
        }
        if sys.platform == "linux":  # a host name that does not resolve would stop gloo
            shared.setdefault("GLOO_SOCKET_IFNAME", "lo")
        logs = [Path(folder, f"{rank}.log") for rank in range(world)]
        processes = []
        for rank, log in enumerate(logs):
            with log.open("w") as file:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, *command],
                        env={**shared, "RANK": str(rank)},
                        stdout=file,
                        stderr=subprocess.STDOUT,
                    )
                )
        try:
            codes = [process.wait(timeout) for process in processes]
        except subprocess.TimeoutExpired:
            codes = [-1] * world
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        ends = [f"rank {i}: {log.read_text()[-2000:]}" for i, log in enumerate(logs)]
        assert not any(codes), f"exit codes {codes}\n" + "\n".join(ends)


@contextmanager
def join() -> Iterator[int]:
    """Join the group that ``spawn`` started and yield the rank."""
    rank = int(os.environ["RANK"])
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=Path(os.environ["OVERPARAM_RENDEZVOUS"]).as_uri(),
        rank=rank,
        world_size=int(os.environ["WORLD_SIZE"]),
        timeout=timedelta(minutes=5),
    )
    try:
        yield rank
    finally:
        dist.destroy_process_group()


def report_rank(module: nn.Module, inputs: Inputs, steps: int = 3) -> dict[str, Any]:
    """Train on this rank's inputs under ``DistributedDataParallel`` and describe the outcome.

    Returns:
        Plain data: hash of the masks, hash of the weights, largest difference to one process
        that had all inputs, and the largest update itself.
    """
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, inputs)
    alone, start = copy.deepcopy(module), copy.deepcopy(module)
    wrapped = DistributedDataParallel(module)
    ours, theirs = (
        SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1) for net in (module, alone)
    )
    for _ in range(steps):
        ours.zero_grad()
        wrapped(*inputs).square().mean().backward()
        ours.step()
        theirs.zero_grad()
        loss = torch.stack([alone(*each).square().mean() for each in everyone]).mean()
        loss.backward()
        theirs.step()
    assert_masked_zeros(module)
    return {
        "masks": Masks(module).sha(),
        "weights": weights_sha(module),
        "difference": _distance(module, alone),
        "update": _distance(module, start),
    }


def assert_ranks_agree(reports: Sequence[Mapping[str, Any]]) -> None:
    """Same masks and bits on every rank; the weights are those of one process with all data."""
    first = reports[0]
    for rank, report in enumerate(reports):
        assert report["masks"] == first["masks"], f"rank {rank} has other masks than rank 0"
        assert report["weights"] == first["weights"], f"rank {rank} has other weights than rank 0"
        assert report["update"] > 1e-4, f"rank {rank} trained nothing"
        # gradients are summed in another order: a few float32 roundings of weights of size 1
        assert report["difference"] < 1e-5, f"rank {rank} is off by {report['difference']:.1e}"


def weights_sha(module: nn.Module) -> str:
    """Hash of every parameter, bit for bit; running statistics are each rank's own."""
    bits = {k: p.detach().cpu().contiguous() for k, p in module.named_parameters()}
    whole = {k: v.reshape(-1).view(torch.uint8) for k, v in bits.items() if v.numel()}
    return hashlib.sha256(mask_sha(whole).encode()).hexdigest()


def _distance(one: nn.Module, other: nn.Module) -> float:
    left, right = plain_state(one), plain_state(other)
    return max(_gap(left[name], right[name]) for name in left)


def _gap(one: Tensor, other: Tensor) -> float:
    return float((one.double() - other.double()).abs().max()) if one.numel() else 0.0
