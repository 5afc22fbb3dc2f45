"""What keeps a jailed process in: limits, and on Linux the kernel's own filters. Standard library only.

`build` is called once, in the child, before anything foreign runs; nothing that it forbids can be allowed
again. Where the kernel refuses a wall the others stand, and the audit hook is always there.
"""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE_BYTES = 16 << 20  # of a file it may write
OPEN_FILES = 256
NEW_USER, NEW_NET = 0x10000000, 0x40000000  # of unshare
NO_NEW_PRIVILEGES, SECCOMP = 38, 22  # of prctl
RULESET, RULE, RESTRICT = 444, 445, 446  # landlock's calls, the same everywhere
WRITES = 0x7FF2  # landlock's rights that change files: all of version 3 but execute, read and list
THREAD = 0x10000  # of clone: no process of its own

# socket fork vfork execve execveat kill tkill ptrace process_vm_writev unshare setns mount umount2 bpf keyctl
# userfaultfd perf_event_open rt_sigqueueinfo pidfd_send_signal io_uring_setup
CALLS = {
    "x86_64": ((41, 57, 58, 59, 322, 62, 200, 101, 311, 272, 308, 165, 166, 321, 250, 323, 298, 129, 424,
                425), 0xC000003E, 56, 234, 297),
    "aarch64": ((198, 221, 281, 129, 130, 117, 271, 97, 268, 40, 39, 280, 219, 282, 241, 138, 424, 425),
                0xC00000B7, 220, 131, 240),
}  # fmt: skip
"""Machine -> calls refused, its number, clone, tgkill, rt_tgsigqueueinfo."""


def build(folder: str, memory_mb: int, seconds: int) -> None:
    """Every wall that this system has. `seconds` of processor time; 0: no limit."""
    _limits(memory_mb, seconds)
    guarded = False
    if sys.platform == "linux":
        guarded = _linux(folder)
    if not guarded:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))  # counts threads too, hence only here
    sys.addaudithook(_hook(os.path.realpath(folder), guarded))


def _limits(memory_mb: int, seconds: int) -> None:
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: FILE_BYTES, resource.RLIMIT_NOFILE: OPEN_FILES,
              resource.RLIMIT_AS: memory_mb << 20}  # fmt: skip
    if seconds:
        limits[resource.RLIMIT_CPU] = seconds
    for limit, most in limits.items():
        hard = resource.getrlimit(limit)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS does not limit memory
            resource.setrlimit(limit, (most, most))


# Linux ------------------------------------------------------------------------------------------------------


def _linux(folder: str) -> bool:
    """No network, no files but the folder's, no processes. Whether the kernel agreed to all of it."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.unshare(NEW_USER | NEW_NET)  # refused in many containers; the filter below does without
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    files, calls = _landlock(libc, folder), _filter(libc)
    return files and calls


def _landlock(libc: Any, folder: str) -> bool:
    """Files are changed below the folder only, and /dev/null is written to."""
    import ctypes

    version = libc.syscall(RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    rights = WRITES & ((1 << {1: 13, 2: 14}.get(version, 15)) - 1)
    ask = ctypes.create_string_buffer(struct.pack("=Q", rights), 8)
    rules = libc.syscall(RULESET, ask, ctypes.c_size_t(8), 0)
    if rules < 0:
        return False
    for path, allowed in ((folder, rights), ("/dev/null", 1 << 1)):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = ctypes.create_string_buffer(struct.pack("=Qi", allowed, place), 12)
        libc.syscall(RULE, rules, 1, rule, 0)
        os.close(place)
    done = libc.syscall(RESTRICT, rules, 0)
    os.close(rules)
    return bool(done == 0)


def _filter(libc: Any) -> bool:
    """The calls that start processes, open sockets or signal others fail with "not permitted"."""
    import ctypes

    machine = platform.machine()
    if machine not in CALLS:
        return False
    refused, arch, clone, tgkill, queue = CALLS[machine]
    refuse, missing, allow = 0x50001, 0x50026, 0x7FFF0000  # EPERM, ENOSYS
    load, equal, set_, least, give = 0x20, 0x15, 0x45, 0x35, 0x06
    code = [(load, 0, 0, 4), (equal, 1, 0, arch), (give, 0, 0, 0x80000000), (load, 0, 0, 0)]
    if machine == "x86_64":
        code += [(least, 0, 1, 0x40000000), (give, 0, 0, refuse)]  # the x32 calls, by other numbers
    for call in refused:
        code += [(equal, 0, 1, call), (give, 0, 0, refuse)]
    code += [(equal, 0, 1, 435), (give, 0, 0, missing)]  # clone3: the C library then takes clone
    code += [(equal, 0, 4, clone), (load, 0, 0, 16), (set_, 1, 0, THREAD), (give, 0, 0, refuse),
             (give, 0, 0, allow)]  # fmt: skip
    for call in (tgkill, queue):  # a signal to itself is how a process aborts
        code += [(equal, 0, 4, call), (load, 0, 0, 16), (equal, 1, 0, os.getpid()), (give, 0, 0, refuse),
                 (give, 0, 0, allow)]  # fmt: skip
    code += [(give, 0, 0, allow)]
    packed = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(packed)))
    return bool(libc.prctl(SECCOMP, 2, program, 0, 0) == 0)


# everywhere -------------------------------------------------------------------------------------------------

REFUSED = ("socket.__new__", "socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen",
           "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile",
           "os.kill", "os.killpg", "signal.pthread_kill", "pty.spawn")  # fmt: skip
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.link", "os.symlink",
           "os.truncate", "os.utime", "os.setxattr", "os.removexattr")  # fmt: skip


def _hook(folder: str, guarded: bool) -> Callable[[str, tuple[Any, ...]], None]:
    """Refuses what Python itself would do. C is out of its reach, hence no ctypes where nothing else is."""

    def inside(path: Any) -> bool:
        if isinstance(path, int) or path is None:
            return True
        real = os.path.realpath(os.fsdecode(path))
        return real == "/dev/null" or Path(real).is_relative_to(folder)

    def hook(event: str, given: tuple[Any, ...]) -> None:
        writes = event == "open" and (
            (isinstance(given[1], str) and set(given[1]) & set("wax+"))
            or (isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        )
        changed = given[: 2 if event in ("os.rename", "os.link") else 1] if event in CHANGES else ()
        if writes:
            changed = given[:1]
        if event in REFUSED or (event.startswith("ctypes.") and not guarded):
            raise PermissionError(f"{event} is not allowed in the sandbox")
        if not all(map(inside, changed)):
            raise PermissionError(f"{event} outside of the sandbox's folder is not allowed: {changed[0]!r}")

    return hook
