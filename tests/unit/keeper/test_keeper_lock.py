"""The lock: one holder among threads, processes and forks, and none that outlives its process."""

from __future__ import annotations

import _thread
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from token_keeper import lock as lock_module
from token_keeper.errors import LockTimeout, StorageError
from token_keeper.lock import DirectoryLock

HOLDER = """
import sys, time
from pathlib import Path
from token_keeper.lock import DirectoryLock
with DirectoryLock(Path(sys.argv[1])).hold(5):
    print("held", flush=True)
    sys.stdin.read()
"""


def is_free(directory: Path) -> bool:
    """Ask the kernel, with a descriptor of our own."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def eventually(what: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.005)
    return what()


def descriptors_of(directory: Path) -> list[int]:
    """Return the descriptors that this process has open on the directory."""
    found = []
    for number in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # the listing's own is closed by now
            if os.path.samestat(os.fstat(number), directory.stat()):
                found.append(number)
    return found


@contextlib.contextmanager
def holder(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def forked(work: Callable[[], None]) -> Iterator[int]:
    """Run ``work`` in a forked child; it is over at the end of the block."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def sleep_on() -> None:
    time.sleep(60)


def test_it_excludes_and_is_free_afterwards(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    with lock.hold(1) as descriptor:
        assert descriptor is not None
        assert os.path.samestat(os.fstat(descriptor), tmp_path.stat())
        assert not is_free(tmp_path)
    assert is_free(tmp_path)


def test_it_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), DirectoryLock(tmp_path).hold(1):
        raise ZeroDivisionError
    with DirectoryLock(tmp_path).hold(0) as descriptor:
        assert descriptor is not None


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path).hold(1):
        for _ in range(20):
            with pytest.raises(LockTimeout), DirectoryLock(tmp_path).hold(0):
                pass
        assert len(descriptors_of(tmp_path)) == 1
    assert descriptors_of(tmp_path) == []
    with holder(tmp_path), pytest.raises(LockTimeout), DirectoryLock(tmp_path).hold(0.05):
        pass
    # the thread that waits for the release closes its own a moment after the holder has gone
    assert eventually(lambda: descriptors_of(tmp_path) == [])
    assert eventually(lambda: lock_module._process.held == set())


def test_threads_exclude_each_other(tmp_path: Path) -> None:
    inside, most, done = 0, 0, 0

    def work() -> None:
        nonlocal inside, most, done
        for _ in range(10):
            with DirectoryLock(tmp_path).hold(20):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                inside -= 1
                done += 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, done) == (1, 80)


def test_two_names_of_one_directory_are_one_lock(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with DirectoryLock(tmp_path / "real").hold(1), pytest.raises(LockTimeout), DirectoryLock(tmp_path / "link").hold(0):
        pass


def test_processes_exclude_each_other(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(LockTimeout) as caught, DirectoryLock(tmp_path).hold(0.1):
            pass
        assert caught.value.exit_code == 9
        assert str(tmp_path) in caught.value.message
        process.communicate("")
        with DirectoryLock(tmp_path).hold(5) as descriptor:
            assert descriptor is not None


def test_a_timeout_is_kept(tmp_path: Path) -> None:
    with holder(tmp_path):
        begun = time.monotonic()
        with pytest.raises(LockTimeout), DirectoryLock(tmp_path).hold(0.3):
            pass
        assert 0.3 <= time.monotonic() - begun < 10


def test_a_killed_holder_frees_it(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
        with DirectoryLock(tmp_path).hold(1) as descriptor:
            assert descriptor is not None


def test_a_waiter_leaves_the_queue_when_it_needs_the_lock_no_more(tmp_path: Path) -> None:
    asked = 0

    def served() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with holder(tmp_path), DirectoryLock(tmp_path).hold(5, given_up=served) as descriptor:
        assert descriptor is None
        assert asked == 4


def test_a_served_waiter_does_not_take_the_lock_that_came_free(tmp_path: Path) -> None:
    taken: list[int | None] = []
    with DirectoryLock(tmp_path).hold(1):
        served = threading.Event()
        leaving = threading.Event()

        def given_up() -> bool:
            leaving.set()
            return served.is_set()

        def wait() -> None:
            with DirectoryLock(tmp_path).hold(5, given_up=given_up) as descriptor:
                taken.append(descriptor)

        thread = threading.Thread(target=wait)
        thread.start()
        leaving.wait(5)
        served.set()
    thread.join()
    assert taken == [None]


def wakers() -> list[str]:
    """Return the directories whose release a thread of this process awaits."""
    return list(lock_module._process.releases)


def test_all_waiters_of_a_process_are_woken_by_one_thread(tmp_path: Path) -> None:
    released = threading.Event()
    left: list[int | None] = []

    def wait() -> None:
        with DirectoryLock(tmp_path).hold(30, given_up=released.is_set) as descriptor:
            left.append(descriptor)

    waiters = [threading.Thread(target=wait) for _ in range(20)]
    with DirectoryLock(tmp_path).hold(1):
        for waiter in waiters:
            waiter.start()
        while not wakers():
            time.sleep(0.01)
        time.sleep(0.1)
        assert len(wakers()) == 1
        released.set()
    for waiter in waiters:
        waiter.join(10)
    assert left == [None] * 20
    assert eventually(lambda: wakers() == [])


def test_who_waits_to_be_woken_holds_nothing_when_he_is_gone(tmp_path: Path) -> None:
    """The waiter's deadline came; what was to wake it goes on waiting, and lets go at once when it is its turn."""
    with holder(tmp_path) as process:
        with pytest.raises(LockTimeout), DirectoryLock(tmp_path).hold(0.3):
            pass
        assert len(wakers()) == 1
        process.kill()
        process.wait()
        assert eventually(lambda: wakers() == [])
        with DirectoryLock(tmp_path).hold(0) as descriptor:
            assert descriptor is not None


def test_a_forked_child_wakes_itself(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(LockTimeout), DirectoryLock(tmp_path).hold(0.3):
            pass
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with DirectoryLock(tmp_path).hold(20) as descriptor:
                    status = 0 if descriptor is not None else 2
            finally:
                os._exit(status)
        time.sleep(0.3)
        process.kill()
        process.wait()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_who_waits_finds_a_directory_that_was_made_anew(tmp_path: Path) -> None:
    directory = tmp_path / "tokens"
    directory.mkdir()
    got: list[int | None] = []

    def wait() -> None:
        with DirectoryLock(directory).hold(20) as descriptor:
            got.append(descriptor)

    with holder(directory):
        waiter = threading.Thread(target=wait)
        waiter.start()
        while not wakers():
            time.sleep(0.01)
        directory.rename(tmp_path / "away")
        directory.mkdir()
        waiter.join(10)
        assert len(got) == 1, "the old directory's holder lives, and has nothing to do with the new one"


def test_a_waiter_that_could_not_be_woken_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        lock_module._process.next_release("gone", tmp_path / "gone")
    assert "gone" not in lock_module._process.releases


@pytest.mark.parametrize("obstacle", ["green", "no room"])
def test_where_nobody_can_be_woken_waiters_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str) -> None:
    if obstacle == "green":  # as gevent does: a greenlet that is blocked in the kernel would block all of them
        monkeypatch.setattr(_thread, "start_new_thread", lambda *_: pytest.fail("no thread of these"))
    else:

        def refuse(*_: object) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(_thread, "start_new_thread", refuse)
        monkeypatch.setattr(lock_module, "_is_green", lambda: False)
    with holder(tmp_path) as process:
        with pytest.raises(LockTimeout), DirectoryLock(tmp_path).hold(0.3):
            pass
        assert wakers() == []
        process.kill()
        process.wait()
        with DirectoryLock(tmp_path).hold(5) as descriptor:
            assert descriptor is not None


def test_a_forked_child_does_not_keep_the_lock_alive(tmp_path: Path) -> None:
    """The parent is killed while it holds the lock; its child lives on."""
    code = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from token_keeper.lock import DirectoryLock\n"
        "with DirectoryLock(Path(sys.argv[1])).hold(5):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        time.sleep(60)\n"
        "        os._exit(0)\n"
        "    print(child, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            parent.kill()
            parent.wait()
            os.kill(child, 0)
            assert eventually(lambda: is_free(tmp_path))
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_forked_child_does_not_free_the_parents_lock(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path).hold(1):
        child = os.fork()
        if child == 0:
            # leaves the with block as the parent would
            return_code = 0
        else:
            assert os.waitpid(child, 0)[1] == 0
            assert not is_free(tmp_path)
            return_code = -1
    if return_code == 0:
        os._exit(0)


def test_a_child_that_leaves_the_block_closes_nobody_elses_file(tmp_path: Path) -> None:
    """The descriptor's number is free in the child, and the next file it opens may get it."""
    read_end, write_end = os.pipe()
    manager = DirectoryLock(tmp_path).hold(1)
    held = manager.__enter__()
    assert held is not None
    child = os.fork()
    if child == 0:
        reused = os.open("/dev/null", os.O_RDONLY)
        manager.__exit__(None, None, None)
        try:
            os.fstat(reused)
            os.write(write_end, b"same" if reused == held else b"other")
        except OSError:
            os.write(write_end, b"closed")
        os._exit(0)
    os.waitpid(child, 0)
    manager.__exit__(None, None, None)
    assert os.read(read_end, 10) == b"same"
    os.close(read_end)
    os.close(write_end)


def test_a_child_can_take_the_lock_for_itself(tmp_path: Path) -> None:
    """Forked while another thread of the parent held the mutex and the lock."""
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        with DirectoryLock(tmp_path).hold(1):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(5)
    read_end, write_end = os.pipe()

    def take() -> None:
        with DirectoryLock(tmp_path).hold(5):
            os.write(write_end, b"taken")
            sleep_on()

    with forked(take):
        leave.set()
        thread.join()
        assert os.read(read_end, 10) == b"taken"
        assert not is_free(tmp_path)
    assert eventually(lambda: is_free(tmp_path))
    os.close(read_end)
    os.close(write_end)


def test_forks_in_the_midst_of_locking_inherit_nothing(tmp_path: Path) -> None:
    """Children forked at any moment of other threads' locking hold no copy of the directory's descriptor."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            with contextlib.suppress(LockTimeout), DirectoryLock(tmp_path).hold(0):
                pass

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    inherited = []
    try:
        for _ in range(60):
            read_end, write_end = os.pipe()
            child = os.fork()
            if child == 0:
                found = 0
                for name in os.listdir("/proc/self/fd"):
                    with contextlib.suppress(OSError):
                        found += os.readlink(f"/proc/self/fd/{name}") == str(tmp_path)
                os.write(write_end, bytes([found]))
                os._exit(0)
            inherited.append(os.read(read_end, 1)[0])
            os.waitpid(child, 0)
            os.close(read_end)
            os.close(write_end)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert inherited == [0] * 60


def test_a_directory_made_anew_has_a_lock_of_its_own(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    with DirectoryLock(volume).hold(1):
        volume.rename(tmp_path / "old")
        volume.mkdir()
        with holder(volume):
            assert not is_free(volume)
    assert eventually(lambda: is_free(volume))


@pytest.mark.parametrize(("make", "reason"), [(None, "NoVolume"), ("file", "NotADirectory")])
def test_what_is_no_directory(tmp_path: Path, make: str | None, reason: str) -> None:
    target = tmp_path / "volume"
    if make:
        target.write_text("")
    with pytest.raises(StorageError) as caught, DirectoryLock(target).hold(0):
        pass
    assert caught.value.reason == reason
    assert caught.value.remedy


def test_a_file_system_without_flock_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StorageError) as caught, DirectoryLock(tmp_path).hold(0):
        pass
    assert caught.value.reason == "NoLocks"


def test_a_signal_handler_that_asks_for_the_lock_does_not_hang(tmp_path: Path) -> None:
    outcome: list[str] = []

    def handle(number: int, frame: object) -> None:
        try:
            with DirectoryLock(tmp_path).hold(0):
                outcome.append("taken")
        except LockTimeout:
            outcome.append("busy")

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with DirectoryLock(tmp_path).hold(1):
            os.kill(os.getpid(), signal.SIGUSR1)
        with lock_module._process.guard:
            os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert outcome == ["busy", "taken"]


INTERRUPTED = """
import os, signal, sys, threading
from token_keeper import forks, lock

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
held, go = threading.Event(), threading.Event()

def hold():
    with lock._process.guard:
        held.set()
        go.wait()

threading.Thread(target=hold).start()
held.wait()
signal.setitimer(signal.ITIMER_REAL, 0.2)
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
go.set()
got = []
other = threading.Thread(target=lambda: got.append(forks._importing.acquire(timeout=10)))
other.start()
other.join()
print(got)
"""


def test_a_fork_whose_preparation_a_signal_cuts_short_holds_back_no_import() -> None:
    """Every later import of any other thread would wait for ever."""
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False, timeout=60)
    assert ended.stdout == "[True]\n", ended.stderr
    assert "KeyboardInterrupt" in ended.stderr
