"""One process, or several started by ``torchrun`` that share the structures.

Besides the collectives of ``torch.distributed`` they share a store of short values, through
which structures are handed out one by one, progress is added up, and signs of life are
given: nobody waits for a process that is gone.
"""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from io import BytesIO
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous


# the first process solves and measures while the others wait for its next sums
TIMEOUT = timedelta(hours=24)

JOIN = 120.0
"""Seconds within which all processes have to start."""

BEAT = 2.0
"""Seconds between two signs of life."""

PATIENCE = 25.0
"""Seconds without a sign of life after which a process is lost."""

FAREWELL = 10.0
"""Seconds to wait at the end: the first process, which may hold the store, for the others,
and each process for its own thread."""


_MEETINGS = itertools.count()


class Lost(RuntimeError):
    """Another process is gone, or has failed."""


class Processes:
    """What a process knows of the others.

    :param rank: number of this one
    :param size: how many there are
    :param store: shared by all of them; None if there is one
    """

    def __init__(self, rank: int = 0, size: int = 1, store: Any = None) -> None:
        self.rank, self.size = rank, size
        self.store = store
        self.pulse: _Pulse | None = None
        self._names = 0
        self._done = 0

    @property
    def first(self) -> bool:
        """Whether this one writes."""
        return self.rank == 0

    def mine(self, count: int) -> range:
        """Indices of the structures that this process takes.

        :param count: of all structures
        :return: every ``size``-th
        """
        return range(self.rank, count, self.size)

    def take(self, count: int) -> Iterator[int]:
        """Take one piece of work after the other; each goes to one process.

        :param count: of all pieces; all processes have to call this
        :return: their numbers, ascending
        """
        name = self._name()
        if self.store is None:
            yield from self.mine(count)
            return
        while True:
            self.check()
            number = self.add(name, 1) - 1
            if number >= count:
                return
            yield number

    def speedup(self, count: int) -> float:
        """How much faster all processes together are.

        :param count: pieces of work, of about the same size
        :return: at most the number of processes
        """
        return count / -(-count // self.size) if count else 1.0

    def done(self, count: int) -> int:
        """Add to what has been done.

        :param count: by this process, since it last said so
        :return: by all processes, since they joined
        """
        if self.store is None:
            self._done += count
            return self._done
        self.check()
        return self.add("done", count)

    def add_up(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace tensors by their sums over all processes.

        :param tensors: the same shapes everywhere, in the same order
        """
        if self.size > 1:
            self.meet()
            with self._answered():
                for tensor in tensors:
                    dist.all_reduce(tensor)

    def from_first(self, make: Callable[[], Any]) -> Any:
        """Make something in the first process, and give it to all of them.

        :param make: called there only
        :return: the same everywhere
        """
        if self.size == 1:
            return make()
        sent = [_packed(make()) if self.first else b""]
        self.meet()
        with self._answered():
            dist.broadcast_object_list(sent)
        return _unpacked(sent[0])

    def gather(self, value: Any, waiting: Callable[[], object] = lambda: None) -> list[Any]:
        """Collect something from all processes in the first one.

        :param value: of this process
        :param waiting: called now and then while others are not there yet
        :return: in order of their numbers; empty in all but the first
        """
        if self.size == 1:
            return [value]
        self.meet(waiting)
        found: list[Any] | None = [b""] * self.size if self.first else None
        with self._answered():
            dist.gather_object(_packed(value), found)
        return [_unpacked(one) for one in found or []]

    def meet(self, waiting: Callable[[], object] = lambda: None) -> None:
        """Wait for all others to come here, as long as they live.

        :param waiting: called now and then
        :raises Lost: if one of them never will
        """
        if self.store is None:
            return
        name, pause = self._name(), 0.001
        arrived = self.add(name, 1)
        while arrived < self.size:
            self.check()
            time.sleep(pause)
            pause = min(2 * pause, 0.2)
            waiting()
            arrived = self.add(name, 0)

    def add(self, name: str, count: int) -> int:
        """Add to a number that all processes share.

        :param name: of the number
        :param count: to be added
        :raises Lost: if who holds it is gone
        :return: what it is now
        """
        with self._answered():
            return int(self.store.add(name, count))

    def check(self) -> None:
        """Make sure that the others are there.

        :raises Lost: if one of them is not
        :raises ValueError: if one of them has found that something is wrong with the input
        """
        if self.pulse is not None and self.pulse.trouble is not None:
            raise self.pulse.trouble

    @contextmanager
    def _answered(self) -> Iterator[None]:
        """Say in a sentence that another process does not answer."""
        try:
            yield
        except RuntimeError as error:
            self.check()  # may know more
            raise _lost(self.size, f"another one does not answer ({error})") from error

    def _name(self) -> str:
        """Name of the next thing that all processes do, the same everywhere."""
        self._names += 1
        return f"step {self._names}"


class _Pulse(threading.Thread):
    """Gives signs of life, and looks for those of the others.

    The first process looks for all others, and the others for it.
    """

    def __init__(self, processes: Processes) -> None:
        super().__init__(daemon=True)
        self.processes = processes
        self.trouble: Exception | None = None
        self.watched = range(1, processes.size) if processes.first else range(1)
        self.seen = {rank: (0, time.monotonic()) for rank in self.watched}
        self.over = threading.Event()

    def run(self) -> None:
        """Beat until it is over."""
        while not self.over.wait(BEAT):
            try:
                self._beat()
            except Exception as error:  # the store is gone with the process that held it
                if not self.over.is_set():
                    self.trouble = self._lost(f"the first one does not answer ({error})")
            if self.trouble is not None:
                return

    def stop(self) -> None:
        """End it: Python aborts if it exits while a thread is inside the store."""
        self.over.set()
        self.join(FAREWELL)

    def _beat(self) -> None:
        store, rank = self.processes.store, self.processes.rank
        store.add(f"pulse {rank}", 1)
        if store.check(["failed"]):
            other, kind, text = store.get("failed").decode().split("\n", 2)
            lost = self._lost(f"process {other} has failed ({text})")
            self.trouble = ValueError(text) if kind == "input" else lost
            return
        now = time.monotonic()
        for other, (count, since) in self.seen.items():
            found = int(store.add(f"pulse {other}", 0))
            if found != count:
                self.seen[other] = found, now
            elif now - since > PATIENCE:
                silent = f"process {other} has given no sign of life for {PATIENCE:.0f} s"
                self.trouble = self._lost(silent)

    def _lost(self, what: str) -> Lost:
        return _lost(self.processes.size, what)


def _lost(size: int, what: str) -> Lost:
    return Lost(
        f"one of {size} processes is lost: {' '.join(what.split())}. Nothing is "
        "half-written: start all of them again, with --continue to go on"
    )


def _packed(value: Any) -> bytes:
    """Tensors that share memory are packed once, which pickle alone does not do."""
    buffer = BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _unpacked(packed: bytes) -> Any:
    return torch.load(BytesIO(packed), weights_only=False, map_location="cpu")


def local_device(name: str) -> torch.device:
    """Device of this process.

    :param name: ``cpu`` or ``cuda``, perhaps with a number
    :raises ValueError: if there is no such device
    :return: of several processes on GPUs each has its own
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"there is no device '{name}': write cpu or cuda") from None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"PET does not run on '{name}': write cpu or cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("no GPU was found: write device: cpu")
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return device


def own_device(name: str) -> str:
    """Device of this process, for work that needs no GPU of its own.

    :param name: of torch
    :return: the same; of several processes on GPUs each takes the next GPU
    """
    several = started() > 1
    if name != "cuda" or not several or not torch.cuda.is_available():
        return name
    return f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"


@contextmanager
def joined(device: str | torch.device) -> Iterator[Processes]:
    """Join the other processes, if there are any.

    :param device: of this one: NCCL between tensors on GPUs, gloo otherwise
    :raises ValueError: if the others do not come
    """
    met = dist.is_initialized()
    if (dist.get_world_size() if met else started()) == 1:
        yield Processes()
        return
    on_gpu = str(device).startswith("cuda") and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(device)
    processes = _of_group() if met else _find_others()
    if not met:
        backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
        dist.init_process_group(
            backend, store=dist.PrefixStore("group", processes.store), timeout=TIMEOUT,
            rank=processes.rank, world_size=processes.size,
        )  # fmt: skip
    processes.pulse = pulse = _Pulse(processes)
    pulse.start()
    try:
        yield processes
        _part(processes)
    except BaseException as error:
        _tell(processes, error)
        raise
    finally:
        pulse.stop()
        if not met:
            dist.destroy_process_group()


def started() -> int:
    """Number of processes that were started.

    :raises ValueError: if ``WORLD_SIZE`` is no number
    :return: at least 1
    """
    text = os.environ.get("WORLD_SIZE", "1")
    if not text.isdecimal():
        raise ValueError(f"WORLD_SIZE is '{text}', which is no number: unset it")
    return int(text)


def _of_group() -> Processes:
    """Processes that have met before share the store of their group."""
    # the same number everywhere, since all of them join as often
    store = dist.PrefixStore(
        f"metatrain_symmetry {next(_MEETINGS)}", dist.distributed_c10d._get_default_store()
    )
    return Processes(dist.get_rank(), dist.get_world_size(), store)


def _find_others() -> Processes:
    """Wait until all processes are there."""
    try:
        store, rank, size = next(rendezvous("env://", timeout=timedelta(seconds=JOIN)))
        processes = Processes(rank, size, dist.PrefixStore("metatrain_symmetry", store))
        here, began = int(processes.store.add("here", 1)), time.monotonic()
        while here < size:
            if time.monotonic() - began > JOIN:
                raise ValueError(f"{here} are there")
            time.sleep(0.05)
            here = int(processes.store.add("here", 0))
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"WORLD_SIZE is {os.environ.get('WORLD_SIZE')}, but not as many processes have "
            f"met within {JOIN:.0f} s ({' '.join(str(error).split())[:200]}): start them "
            "with torchrun, or unset WORLD_SIZE"
        ) from error
    return processes


def _part(processes: Processes) -> None:
    """Leave; the first process goes last, since it may hold the store."""
    left, began = processes.add("left", 1), time.monotonic()
    while processes.first and left < processes.size:
        if time.monotonic() - began > FAREWELL:
            return
        time.sleep(0.02)
        left = processes.add("left", 0)


def _tell(processes: Processes, error: BaseException) -> None:
    """Tell the others that this process goes, and why."""
    if isinstance(error, Lost):
        return
    with suppress(RuntimeError):  # the store may be gone, too
        text = " ".join(str(error).split()) or type(error).__name__
        kind = "input" if isinstance(error, ValueError) else "failure"
        processes.store.set("failed", f"{processes.rank}\n{kind}\n{text}")
