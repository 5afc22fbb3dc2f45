"""Several processes with one program: rank 0 runs it, the others repeat what it tells them.

`torchrun` starts the processes and tells each its rank. Rank 0 says words over a local socket, and its
followers do in the same order what the words say; what they compute together meets in torch's collectives.
No follower sees a request, a draw or a decision, so nothing that rank 0 measures can make ranks differ.

    rank 0    turn("run", ...)  |  forward of its shard  |  turn("run", ...)  |  ...  |  end
    rank 1    waits             |  forward of its shard  |  waits ...                 |  exits

Words go over sockets, not collectives: an idle server may wait for days, and a process that is gone is seen
at once, from both ends, whatever its peers wait for.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from anyorder.errors import UserError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

SWITCH = "ANYORDER_PARALLEL"  # environment variable; 0: every process is on its own
TOLD = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun sets
PATIENCE = timedelta(minutes=30)  # of a collective: longer than ranks differ in reading their shards
ALIKE = 10.0  # seconds in which a run that failed in one rank fails in all
GRACE = 3.0  # seconds for a process to end by itself when another one has ended
END, FAILED = "end", "failed"  # words without a deed

Word = tuple[Any, ...]
Deed = Callable[..., None]


class Place(NamedTuple):
    """Where this process stands among the others."""

    rank: int
    world: int


def place() -> Place | None:
    """None: this process is on its own. Raises UserError for processes on several machines."""
    env = os.environ
    if env.get(SWITCH) == "0" or any(name not in env for name in TOLD) or int(env["WORLD_SIZE"]) < 2:
        return None
    if (here := env.get("LOCAL_WORLD_SIZE", env["WORLD_SIZE"])) != env["WORLD_SIZE"]:
        raise UserError(
            f"{here} of {env['WORLD_SIZE']} processes are on this machine; allowed are processes of one "
            "machine; start all of them on it"
        )
    return Place(int(env["RANK"]), int(env["WORLD_SIZE"]))


class Leader:
    """Rank 0's side. `lines`: a connection to each follower, ranks 1, 2 ..."""

    def __init__(self, lines: list[Connection]):
        self.lines, self.world = lines, len(lines) + 1
        self.lost = ""  # why nothing can be told any more
        self.gone: list[int] = []  # numbers of things that followers need not keep; said with the next word
        self._turn = threading.Lock()
        self._over = threading.Event()
        self._replies: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    @contextlib.contextmanager
    def turn(self, *word: Any) -> Iterator[None]:
        """Tell a deed; what follows inside is this rank's part of it.

        An error that every rank meets alike leaves all of them ready for the next word. Raises UserError if
        ranks may differ from now on, or one of them is gone.
        """
        with self._turn:
            if self.lost:
                raise UserError(self.lost)
            try:
                dropped = [self.gone.pop() for _ in range(len(self.gone))]
                self._tell((dropped, *word))
                yield
            except Exception as error:
                self._compare(error)
                raise
            except BaseException:  # an interrupt: who knows where the others stand
                self.lost = (
                    "a run of several processes was interrupted; its program cannot go on; start again"
                )
                raise

    def end(self) -> None:
        """Let the followers go."""
        self._over.set()
        with contextlib.suppress(OSError):
            self._tell(END)
        self._watcher.join(2 * GRACE)
        if not self.lost:
            _leave()

    def _tell(self, word: Any) -> None:
        said = pickle.dumps(word, pickle.HIGHEST_PROTOCOL)
        for line in self.lines:
            line.send_bytes(said)

    def _compare(self, error: Exception) -> None:
        """After an error here: whether every follower is through with the same word."""
        there = []
        with contextlib.suppress(OSError, queue.Empty):
            self._tell(FAILED)
            there = [self._replies.get(timeout=ALIKE) for _ in self.lines]
        if there and all(there):
            return
        self.lost = self.lost or (
            f"a run of several processes broke off in one of them ({_first_line(error)}); none of them can "
            "go on; start again"
        )
        raise UserError(self.lost) from error

    def _watch(self) -> None:
        """Hear what followers say. When one is gone, this process ends, by itself or after a while."""
        from multiprocessing.connection import wait

        left = dict(zip(self.lines, range(1, self.world)))
        while left:
            for line in wait(list(left)):
                try:
                    said = pickle.loads(line.recv_bytes())  # type: ignore[union-attr]
                except (EOFError, OSError):
                    said = "it was ended from outside"
                    if self._over.is_set():
                        del left[line]  # type: ignore[arg-type]
                        continue
                if said is True:
                    self._replies.put(True)
                    continue
                self._end_without(left[line], said)  # type: ignore[index]
                return

    def _end_without(self, rank: int, why: str) -> None:
        self.lost = f"process {rank} of {self.world} is gone ({why}); all of them are needed; start again"
        self._replies.put(False)
        if not self._over.wait(GRACE):  # waits for what never comes, or for somebody's next request
            sys.stdout.flush()
            print(f"error: {self.lost}", file=sys.stderr, flush=True)
            os._exit(2)


def join(here: Place) -> list[Connection]:
    """Meet the other processes: rank 0's connections to each of them, or a follower's one to rank 0."""
    import torch
    from torch import distributed

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        rank=here.rank, world_size=here.world, timeout=PATIENCE,
    )  # fmt: skip
    from multiprocessing.connection import Client, Listener

    said: list[Any] = [None, secrets.token_bytes(32)]
    if here.rank:
        distributed.broadcast_object_list(said, 0)
        line = Client(said[0], authkey=said[1])
        line.send_bytes(pickle.dumps(here.rank))
        return [line]
    with Listener(backlog=here.world, authkey=said[1]) as listener:
        said[0] = listener.address
        distributed.broadcast_object_list(said, 0)
        lines = [listener.accept() for _ in range(1, here.world)]
    return sorted(lines, key=lambda line: int(pickle.loads(line.recv_bytes())))


def silence() -> None:
    """A follower says nothing."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    nothing = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):  # what libraries write past Python, too
        os.dup2(nothing, number)
    os.close(nothing)


def follow(line: Connection, do: Deed) -> int:
    """Do what is told until the end; the exit code.

    An error that rank 0 does not meet as well ends the process: the others must not wait for it. Being told
    to stop by a terminal or by torchrun is rank 0's affair, which may have requests to finish.
    """
    with contextlib.suppress(ValueError):  # not in the main thread
        for stop in (signal.SIGINT, signal.SIGTERM):
            signal.signal(stop, signal.SIG_IGN)
    words: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_hear, args=(line, words), daemon=True).start()
    while (word := words.get()) not in (END, None):
        try:
            if word != FAILED:
                do(*word)
                continue
            _wait_for_device()
        except Exception as error:
            try:
                same = words.get(timeout=ALIKE) == FAILED
            except queue.Empty:
                same = False
            if not same:
                with contextlib.suppress(OSError):
                    line.send_bytes(pickle.dumps(_first_line(error)))
                return 1
        with contextlib.suppress(OSError):
            line.send_bytes(pickle.dumps(True))
    if word == END:
        _leave()
    return 0 if word == END else 1


def _hear(line: Connection, words: queue.SimpleQueue[Any]) -> None:
    """Rank 0's words as they come; at their end the process ends, even if it waits in a collective."""
    word: Any = ""
    grace = GRACE
    while word not in (END, None):
        try:
            word = pickle.loads(line.recv_bytes())
        except (EOFError, OSError):
            word = None
        words.put(word)
    time.sleep(grace)
    os._exit(0 if word == END else 1)


def _wait_for_device() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _leave() -> None:
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
