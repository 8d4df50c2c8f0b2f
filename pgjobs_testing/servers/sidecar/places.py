"""Decides as which user PostgreSQL runs, where its data lies, and from where its binaries run.

As root it refuses to run, so everything is done as an unprivileged user then. Nothing that was
not made here has its mode or owner changed: binaries which that user cannot reach (a virtual
environment under /root) are copied once to a temporary directory instead.
"""

import contextlib
import fcntl
import functools
import hashlib
import os
import pwd
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

HOME_PREFIX = "pgjobs-pg-"
CACHE_PREFIX = "pgjobs-postgres-"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  only ever used through mkdtemp
SOCKETS_PATH_BYTES = 85  # with a socket's own name within what macOS allows
ROOM_BYTES = 1 << 29  # data and WAL of a busy test session
NEEDED = (
    "bin/postgres",
    "bin/initdb",
    "share/postgres.bki",
    "share/timezone",
    "lib/dict_snowball.so",
)


class Failed(Exception):
    """Something the holder should read: what was found, and the remedy."""


def unprivileged_user() -> pwd.struct_passwd | None:
    """Whom to become, or None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("nobody", "postgres", "daemon"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise Failed(
        "PostgreSQL refuses to run as root, and there is no user nobody, postgres or daemon to "
        "run it as: run the tests as an ordinary user, or name a server (PGJOBS_TEST_DSN)"
    )


@contextlib.contextmanager
def new_home(user: pwd.struct_passwd | None) -> Iterator[Path]:
    """A new directory that the user can enter, deleted at the end: in shared memory when there
    is room, else in a temporary directory. Its lock file is locked for as long as we live."""
    roomy = [SHARED_MEMORY] if free_bytes(SHARED_MEMORY) >= ROOM_BYTES else []
    for parent in _within_reach([*roomy, *_temporary()], user):
        _sweep(parent)
        home = Path(tempfile.mkdtemp(prefix=HOME_PREFIX, dir=parent))
        try:
            home.chmod(0o711)
            with (home / "lock").open("wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield home
        finally:
            shutil.rmtree(home, ignore_errors=True)
        return
    raise Failed(
        f"no directory for the data that this user{_and(user)} can use: tried /dev/shm (wants "
        f"{ROOM_BYTES >> 20} MiB), {', '.join(map(str, _temporary()))}. Set TMPDIR to one"
    )


def runnable(install: Path, user: pwd.struct_passwd | None) -> Path:
    """The directory of binaries, or a copy of it that the user can run: made once for each
    version of the original, and reused by later servers."""
    if _as_user(user, functools.partial(_usable, install)):
        return install
    about = (install / "bin" / "postgres").stat()
    origin = f"{install}:{about.st_size}:{about.st_mtime_ns}"
    name = f"{CACHE_PREFIX}{os.geteuid()}-{hashlib.sha256(origin.encode()).hexdigest()[:16]}"
    for parent in _within_reach(_temporary(), user):
        cache = parent / name
        copy = cache / install.parent.name / install.name
        for _ in range(2):
            if _ours_alone(cache) and _as_user(user, functools.partial(_usable, copy)):
                return copy
            _copy(install, cache)
    raise Failed(
        f"the binaries in {install} cannot be run by this user{_and(user)}, nor a copy of them "
        f"in {', '.join(map(str, _temporary()))} (mounted noexec?). Set TMPDIR to a directory "
        "from where they can"
    )


def free_bytes(directory: Path) -> int:
    """Of the file system there; 0 where there is none."""
    try:
        about = os.statvfs(directory)
    except OSError:
        return 0
    return about.f_bavail * about.f_frsize


def sockets_in(directory: Path) -> str:
    """The setting by which sockets are there; for none where a path would need quotes or be too long."""
    text = str(directory)
    plain = re.fullmatch(r"[\w./-]+", text, re.ASCII) is not None
    return text if plain and len(text) <= SOCKETS_PATH_BYTES else ""


def _copy(install: Path, cache: Path) -> None:
    """Appears under its name whole or not at all, whoever else is copying."""
    part = Path(tempfile.mkdtemp(prefix=f"{CACHE_PREFIX}part-", dir=cache.parent))
    try:
        into = part / install.parent.name / install.name
        for each in ("bin", "lib", "share"):
            shutil.copytree(install / each, into / each, copy_function=shutil.copyfile)
        libraries = install.parent.with_name(f"{install.parent.name}.libs")  # auditwheel's
        if libraries.is_dir():
            shutil.copytree(libraries, part / libraries.name, copy_function=shutil.copyfile)
        for directory, _, files in os.walk(part):
            for made in (directory, *(os.path.join(directory, file) for file in files)):
                os.chmod(made, 0o755)  # noqa: S103  for all to run: the wheel is public
        if _ours_alone(cache):  # a cleaner of temporary files has been at it
            shutil.rmtree(cache, ignore_errors=True)
        with contextlib.suppress(OSError):  # another process was quicker, or it is not ours
            part.rename(cache)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _usable(install: Path) -> bool:
    libraries = install.parent.with_name(f"{install.parent.name}.libs")
    needed = [install / each for each in NEEDED]
    if libraries.is_dir():
        needed += sorted(libraries.iterdir())
    return all(
        os.access(each, os.X_OK | os.R_OK if each.parent.name == "bin" else os.R_OK)
        for each in needed
    )


def _as_user(user: pwd.struct_passwd | None, check: Callable[[], bool]) -> bool:
    """The check's answer, given by a child that has become the user."""
    if user is None:
        return check()
    child = os.fork()
    if child == 0:
        verdict = 2
        try:
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            verdict = 1
            verdict = 0 if check() else 1
        finally:
            os._exit(verdict)
    verdict = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if verdict == 2:
        raise Failed(
            "PostgreSQL refuses to run as root, and this root may not become "
            f"{user.pw_name}: run the tests as an ordinary user, or name a server (PGJOBS_TEST_DSN)"
        )
    return verdict == 0


def _within_reach(parents: list[Path], user: pwd.struct_passwd | None) -> Iterator[Path]:
    for parent in parents:
        enter = functools.partial(os.access, parent, os.X_OK)
        if os.access(parent, os.W_OK | os.X_OK) and _as_user(user, enter):
            yield parent


def _temporary() -> list[Path]:
    usual = (tempfile.gettempdir(), "/tmp", "/var/tmp")  # noqa: S108  through mkdtemp alone
    return [Path(each) for each in dict.fromkeys(usual)]


def _ours_alone(directory: Path) -> bool:
    """Nobody else could have put it there: its name can be foretold, and we may be root."""
    try:
        about = directory.lstat()
    except OSError:
        return False
    mine = stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid()
    return mine and not about.st_mode & 0o022


def _sweep(parent: Path) -> None:
    """Removes what sidecars left that were killed themselves: their locks are free."""
    for left in sorted(parent.glob(f"{HOME_PREFIX}*")):
        if not _ours_alone(left):
            continue
        with contextlib.suppress(OSError), (left / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)


def _and(user: pwd.struct_passwd | None) -> str:
    return f" and {user.pw_name}" if user else ""
