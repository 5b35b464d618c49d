"""The popbridge process under test: started on ports the kernel chose, watched through its log."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

# How long anything that should happen at once may take on a loaded machine.
PATIENCE_S = 60.0

_SANITIZER_MARKS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:",
                    "UndefinedBehaviorSanitizer")
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """For preexec_fn: a test program that is killed leaves no server behind."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def need_tool(name):
    """Path of a program the tests need. A missing one is a failure, never a skipped test."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if path is None:
        raise AssertionError(f"the program '{name}' is not installed: install it and run again")
    return path


def until(happened, what):
    """Waits for what nobody tells of; gives what `happened` gave in the end."""
    deadline = time.monotonic() + PATIENCE_S
    while not (result := happened()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited for {what}")
        time.sleep(0.02)
    return result


def binary():
    """Path of the executable under test."""
    path = os.environ.get("POPBRIDGE_BINARY")
    if not path:
        raise AssertionError("POPBRIDGE_BINARY is not set: it names the popbridge to be tested")
    if not os.access(path, os.X_OK):
        raise AssertionError(f"POPBRIDGE_BINARY={path} is not an executable file")
    return os.path.abspath(path)  # it is started elsewhere


def is_sanitized():
    """True for a build with a sanitizer, whose memory use says nothing about the program's."""
    octets = Path(binary()).read_bytes()
    return b"__asan_init" in octets or b"__tsan_init" in octets


def clean_environment():
    """Ours, without what popbridge would take for its settings."""
    return {key: value for key, value in os.environ.items() if not key.startswith("POPBRIDGE_")}


def run_to_end(*options):
    """popbridge with these options, that ends by itself: returncode, stdout and stderr as text."""
    return subprocess.run([binary(), *map(str, options)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False, timeout=PATIENCE_S,
                          env=clean_environment())


class LogLine:
    """One line: time, level, event, then key=value with C-like escapes in quotes."""

    _FIELD = re.compile(r'([A-Za-z0-9_.-]+)=("(?:[^"\\]|\\.)*"|\S*)')

    def __init__(self, text):
        self.text = text
        head = text.split("=", 1)[0].split(" ")
        words = [word for word in head if word]
        self.level = next((w for w in words if w in ("error", "warning", "info", "debug")), "")
        after = words[words.index(self.level) + 1:] if self.level else []
        self.event = after[0] if after else ""
        self.fields = {key: self._unquote(value) for key, value in self._FIELD.findall(text)}

    @staticmethod
    def _unquote(value):
        if not value.startswith('"'):
            return value
        return re.sub(r"\\(x[0-9A-Fa-f]{2}|.)",
                      lambda m: chr(int(m[1][1:], 16)) if m[1][0] == "x" else m[1], value[1:-1])

    def __repr__(self):
        return self.text


class Popbridge:
    """A running popbridge. Use as a context manager, or start() and stop()."""

    def __init__(self, upstream, *options, listen=True, listen_tls=False, environment=None,
                 stdin=None):
        self.arguments = [binary(), "--upstream", upstream]
        if listen and "--listen" not in options:
            self.arguments += ["--listen", "127.0.0.1:0"]
        elif not listen:
            self.arguments += ["--listen", "none"]
        if listen_tls:
            self.arguments += ["--listen-tls", "127.0.0.1:0"]
        # Where it matters more that several are at work than how many there are by default.
        threads = os.environ.get("POPBRIDGE_TEST_THREADS")
        if threads and "--threads" not in options:
            self.arguments += ["--threads", threads]
        self.arguments += [str(option) for option in options]
        self.environment = clean_environment()
        # A freed block that lingers in the quarantine looks like memory in use.
        self.environment.setdefault("ASAN_OPTIONS", "quarantine_size_mb=4")
        self.environment.update(environment or {})
        self.process = None
        self._lines = []
        self._changed = threading.Condition()
        self._reader = None
        self._ended = False
        self._cwd = None

    # Life.

    def start(self):
        self._cwd = tempfile.mkdtemp(prefix="popbridge-cwd-")
        self.process = subprocess.Popen(
            self.arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env=self.environment, cwd=self._cwd,
            preexec_fn=die_with_parent)
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        try:  # the last line of the start
            self.wait_for_line(lambda line: line.event == "started", "the end of the start")
        except AssertionError:
            self.kill()
            raise
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.stop()
        else:
            self.kill()

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout=PATIENCE_S):
        """Exit code. The whole log is read when this returns."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"popbridge did not end within {timeout} s\n{self.log_text()}")
        self._reader.join(PATIENCE_S)
        self._remove_cwd()
        return code

    def stop(self, timeout=PATIENCE_S):
        """SIGTERM; the process must end by itself, with code 0 and nothing bad in its log."""
        if self.process is None or self._cwd is None:
            return
        if self.process.poll() is None:
            self.terminate()
        code = self.wait(timeout)
        if code != 0:
            raise AssertionError(f"popbridge ended with code {code}\n{self.log_text()}")
        self.check_log()

    def kill(self):
        """SIGKILL, for clean-up and for tests of a crash."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait()
            self._reader.join(PATIENCE_S)
        self._remove_cwd()

    def _remove_cwd(self):
        if self._cwd is not None:
            shutil.rmtree(self._cwd, ignore_errors=True)
            self._cwd = None

    # What it says.

    def _read_log(self):
        with self.process.stderr as stream:
            for raw in stream:
                text = raw.decode("utf-8", "backslashreplace").rstrip("\n")
                with self._changed:
                    self._lines.append(LogLine(text))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def lines(self):
        with self._changed:
            return list(self._lines)

    def log_text(self):
        return "\n".join(line.text for line in self.lines)

    def wait_for(self, happened, what, timeout=PATIENCE_S):
        """Waits until happened(lines) is true; returns its value."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                result = happened(self._lines)
                if result:
                    return result
                left = deadline - time.monotonic()
                if left <= 0 or self._ended:
                    text = "\n".join(line.text for line in self._lines)
                    why = "the process ended" if self._ended else f"not within {timeout} s"
                    raise AssertionError(f"waited for {what}: {why}. Log:\n{text}")
                self._changed.wait(left)

    def wait_for_line(self, predicate, what, timeout=PATIENCE_S):
        """Waits for a line for which predicate(line) is true; returns it."""
        return self.wait_for(lambda lines: next((x for x in lines if predicate(x)), None), what,
                             timeout)

    def check_log(self):
        """No sanitizer report, no handle left open, nothing at error level that is a defect."""
        for line in self.lines:
            if any(mark in line.text for mark in _SANITIZER_MARKS):
                raise AssertionError(f"sanitizer report:\n{self.log_text()}")

    # Where it listens, what it costs.

    def port(self, kind="plain"):
        """Port of the first listener of that kind: "plain" or "tls"."""
        for line in self.lines:
            if line.event == "listening" and line.fields.get("kind") == kind:
                return int(line.fields["address"].rsplit(":", 1)[1])
        raise AssertionError(f"no listener of kind {kind}\n{self.log_text()}")

    @property
    def pid(self):
        return self.process.pid

    def resident_bytes(self):
        """VmRSS of the process."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the process has no VmRSS: it ended")

    def open_descriptors(self):
        """Number of open file descriptors."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))
