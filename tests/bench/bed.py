"""The test bed: a simulated plane, and agents with folders of their own, as ordinary processes."""

import datetime
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time


class Failed(Exception):
    """Something did not come about that a figure depends on."""


def await_(what, holds, process=None, limit=600):
    """Waits until something holds, as long as a process lives; tells what it was."""
    end = time.monotonic() + limit
    while True:
        found = holds()
        if found:
            return found
        if process is not None and process.poll() is not None:
            raise Failed(f"the process ended before {what}")
        if time.monotonic() > end:
            raise Failed(f"after {limit} s, {what} did not come about")
        time.sleep(0.002)


def discard(folder):
    """Removes what is not needed any more, at once where it takes memory, and on a disk with everything else at the end.

    ext4 makes no inode out of one that was freed in the last minutes, and looks past them one by one, each time (see
    recently_deleted in the kernel's fs/ext4/ialloc.c): what is made next would be measured fifty times slower.
    """
    memory = "/dev/shm"
    if os.path.exists(memory) and os.stat(folder).st_dev == os.stat(memory).st_dev:
        shutil.rmtree(folder, ignore_errors=True)


def stop(process):
    """Ends a process that was started here, and waits for it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def instant(text):
    """An instant in RFC 3339 as seconds; nanoseconds are cut to microseconds."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    base = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc).timestamp()
    return base + (float(f"0.{fraction}") if fraction else 0.0)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=600)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Plane:
    """A simulated plane that keeps its answers, so that it costs little more than sending them."""

    def __init__(self, binary, folder, *options):
        self.binary, self.folder = binary, folder
        os.makedirs(folder)
        with open(f"{folder}/log", "wb") as log:
            self.process = subprocess.Popen(
                [binary, "--dir", folder, "serve", "--keep-answers", "--with-parent", *options], stdout=log, stderr=log
            )
        await_("the plane came up", lambda: os.path.exists(f"{folder}/plane.json"), self.process)
        self.pid = self.process.pid
        with open(f"{folder}/plane.json", encoding="utf-8") as file:
            self.overview = json.load(file)
        self.ca = self.overview["serverCA"]

    def call(self, *arguments):
        done = subprocess.run([self.binary, "--dir", self.folder, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def landscape(self, applications):
        """Nothing but so many applications with 2 bundles of 2 APIs each, always the same ones."""
        self.admin("DELETE", "/applications")
        self.call("generate", "--applications", str(applications), "--bundles", "2", "--apis", "2", "--quiet")

    def admin(self, method, path):
        host = self.overview["adminURL"].removeprefix("http://")
        connection = http.client.HTTPConnection(host.rstrip("/"), timeout=600)
        connection.request(method, path)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def requests(self):
        return self.admin("GET", "/requests")["requests"]

    def forget_requests(self):
        self.admin("DELETE", "/requests")

    def end(self):
        stop(self.process)


class Agent:
    """An agent that runs `inline`, with all its files below one folder."""

    def __init__(self, binary, folder, plane, level="debug", more=""):
        self.binary, self.folder, self.process = binary, folder, None
        self.config, self.log = f"{folder}/agent.toml", f"{folder}/log"
        self.state, self.socket = f"{folder}/state", f"{folder}/run/control.sock"
        for name in ["pairing", "hooks.d", "templates"]:
            os.makedirs(f"{folder}/{name}")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(
                f'[plane]\nca_bundle = "{plane.ca}"\nproxy = "none"\n'
                f'[apply]\nmode = "inline"\nstate = "{folder}/applier"\n'
                f'[paths]\nstate = "{folder}/state"\nruntime = "{folder}/run"\npairing = "{folder}/pairing"\n'
                f'hooks = "{folder}/hooks.d"\ntemplates = "{folder}/templates"\n'
                f'[log]\nformat = "json"\nlevel = "{level}"\n{more}'
            )

    def start(self, *wrapper):
        """Starts it, and tells when."""
        self.stop()
        with open(self.log, "wb") as log:
            began = time.time()
            self.process = subprocess.Popen(
                [*wrapper, self.binary, "run", "--config", self.config], stdout=log, stderr=log
            )
        self.pid = self.process.pid
        return began

    def pair(self, plane, name):
        """Drops a token, and tells when."""
        self.runtime = plane.call("runtime", name)
        beside = f"{self.folder}/token"
        with open(beside, "w", encoding="utf-8") as file:
            file.write(plane.call("token", self.runtime) + "\n")
        self.await_line("waiting for a token")
        began = time.time()
        os.rename(beside, f"{self.folder}/pairing/token")
        return began

    def lines(self):
        """What it said, in whole lines."""
        with open(self.log, encoding="utf-8") as file:
            text = file.read()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines() if line.startswith("{")]

    def await_line(self, part, count=1):
        """Waits for the line with these words, or the so manieth of them."""

        def found():
            with open(self.log, "rb") as file:
                return file.read().count(part.encode()) >= count

        await_(f"the agent said \"{part}\" (see {self.log})", found, self.process)
        return [line for line in self.lines() if part in line["message"]][count - 1]

    def published(self, generation=1):
        """Waits until a generation is published, and tells when."""
        return instant(self.await_line(f"generation {generation} is published")["timestamp"])

    def sync(self):
        """Has it ask the plane now; tells how long that took, and what it answers."""
        connection = UnixConnection(self.socket)
        began = time.monotonic()
        connection.request("POST", "/v1/sync", '{"consent":"not-given"}', {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        took = time.monotonic() - began
        connection.close()
        if not answer["done"]:
            raise Failed(f"the agent could not synchronise: {answer['message']}")
        return took, answer["message"]

    def unchanged(self):
        """A poll that brings nothing new; tells how long it took."""
        took, message = self.sync()
        if not message.startswith("Nothing changed"):
            raise Failed(f"something changed that should not have: {message}")
        return took

    def stop(self):
        if self.process is not None:
            stop(self.process)
            self.process = None

    def stop_traced(self):
        """Ends an agent that runs below another program, which ends with it and then writes what it counted."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as file:
            children = [int(word) for word in file.read().split()]
        for child in children:
            os.kill(child, signal.SIGTERM)
        self.process.wait(120)
        self.process = None

    def remove(self):
        self.stop()
        discard(self.folder)

    def identity(self):
        """The files of the certificate and its key."""
        folder = os.path.realpath(f"{self.state}/identity/current")
        return f"{folder}/chain.pem", f"{folder}/key.pem"

    def take_identity(self, other):
        """Is paired as another agent is that has stopped, and has no files yet."""
        made = ("config", "snapshot.json", "broker.redb", "lock")
        shutil.copytree(
            other.state, self.state, symlinks=True, ignore=lambda folder, names: [n for n in names if n in made]
        )
