"""Clusters of stock Apache Kafka brokers, for the cases that need whole ones: started, killed, watched.

The controllers are Apache's if the variable SUBJECT says so, else YAKt nodes; the brokers are always Apache's.
Waiting is for a line of a log or for an answer, never for a time.
"""

import base64
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

import frames
import observer

JAVA = os.environ["JAVA"].split()
YAKT = os.environ.get("YAKT", "")
ON_YAKT = os.environ["SUBJECT"] != "kafka"
RUN = os.environ["RUN"]

# A loaded machine of two cores takes half a minute to start a broker, and longer to start three.
PATIENCE_SECONDS = 120
# What no broker may say: it would end, or have ended, because of what a controller told it. The log of
# a topic may say that its high watermark is not monotonic, for a moment after a change of leaders; and
# the metadata log is rightly dropped for a snapshot that goes further.
FORBIDDEN = re.compile(
    r" FATAL |^(?!.*UnifiedLog partition=(?!__cluster_metadata)).*[Nn]on-monotonic"
    r"|Encountered .*fault|RaftManager.*(Truncated to offset|requested truncation)"
)

begun = time.monotonic()


def note(what):
    """Tells whoever watches; not part of what is compared."""
    print(f"[{time.monotonic() - begun:6.1f} s] {what}", file=sys.stderr, flush=True)


def say(what):
    """A line that is compared with expected.txt."""
    note(what)
    print(what, flush=True)


def until(what, condition, seconds=PATIENCE_SECONDS):
    """Asks until the answer is true, and gives it back."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise SystemExit(f"in {seconds} s it did not come true that {what}")
        time.sleep(0.05)


class Ports:
    """Free ports, none of them twice."""

    given = set()

    @classmethod
    def take(cls):
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            if port not in cls.given:
                cls.given.add(port)
                return port


class Server:
    """A process with a log that grows over its restarts."""

    def __init__(self, name, command, up, log_level="warn"):
        self.name, self.command, self.up = name, command, re.compile(up)
        self.log = os.path.join(RUN, name + ".log")
        self.environment = dict(os.environ, COMPAT_LOG_LEVEL=log_level)
        # The clusters of this file are formatted with ids of their own.
        self.environment.pop("CLUSTER_ID", None)
        self.process = None
        self.seen = 0

    def start(self, wait=True):
        self.seen = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment
            )
        if wait:
            self.wait_up()

    def wait_up(self):
        self.wait_line(self.up.pattern)

    def wait_line(self, pattern, seconds=PATIENCE_SECONDS):
        """Waits for a line that this start of the process has written."""
        self.check_alive()
        until(f"{self.name} says {pattern}", lambda: self.says(pattern) or self.ended_by_itself(), seconds)

    def says(self, pattern):
        with open(self.log, errors="replace") as log:
            log.seek(self.seen)
            return re.search(pattern, log.read())

    def ended_by_itself(self):
        status = self.process.poll()
        if status is not None:
            raise SystemExit(f"{self.name} ended by itself with status {status}, see {self.log}")
        return False

    def check_alive(self):
        self.ended_by_itself()

    def kill(self):
        """As kill -9."""
        self.check_alive()
        self.process.kill()
        self.process.wait()
        self.process = None

    def terminate(self, seconds):
        """As SIGTERM; gives back the status."""
        self.check_alive()
        self.process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"{self.name} does not end in {seconds} s after SIGTERM") from None
        note(f"{self.name} ended {time.monotonic() - begin:.2f} s after SIGTERM")
        self.process = None
        return status

    def away(self):
        """Whatever happened: it is gone after this."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process = None


class Cluster:
    """Controllers 3001.. and brokers 1.., on ports of their own, with data in a folder of this run."""

    def __init__(self, name, controllers, brokers):
        self.folder = os.path.join(RUN, name)
        os.makedirs(self.folder)
        self.id = "stock-" + str(int(time.time()))
        self.controllers, self.brokers, self.http = {}, {}, {}
        self.controller_addresses = {3001 + i: f"127.0.0.1:{Ports.take()}" for i in range(controllers)}
        self.broker_addresses = {1 + i: f"127.0.0.1:{Ports.take()}" for i in range(brokers)}
        self.at_controllers = ",".join(self.controller_addresses.values())
        self.at_brokers = ",".join(self.broker_addresses.values())
        self.name = name
        # YAKt shows clients the way; Apache's controllers leave that to the brokers.
        self.at_start = self.at_controllers if ON_YAKT else self.at_brokers

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
        return self

    def __exit__(self, *_):
        for server in [*self.brokers.values(), *self.controllers.values()]:
            server.away()

    def common(self):
        """What brokers and controllers have to agree on; small, for the sake of speed."""
        copies = min(3, len(self.broker_addresses))
        return {
            "controller.quorum.bootstrap.servers": self.at_controllers,
            "controller.listener.names": "CONTROLLER",
            "offsets.topic.num.partitions": 5,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.num.partitions": 5,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": min(2, copies),
            "min.insync.replicas": min(2, copies),
            "default.replication.factor": copies,
            "broker.session.timeout.ms": 6000,
        }

    def write(self, name, properties):
        path = os.path.join(self.folder, name + ".properties")
        with open(path, "w") as file:
            file.writelines(f"{key}={value}\n" for key, value in properties.items())
        return path

    def add_controllers(self, **more):
        """Formats and starts all of them."""
        paths = {}
        for id, address in self.controller_addresses.items():
            properties = self.common() | {
                "process.roles": "controller",
                "node.id": id,
                "listeners": f"CONTROLLER://{address}",
                "log.dirs": os.path.join(self.folder, str(id)),
            }
            properties |= {key.replace("_", "."): value for key, value in more.items()}
            if ON_YAKT:
                self.http[id] = f"127.0.0.1:{Ports.take()}"
                properties["yakt.http.listeners"] = f"http://{self.http[id]}"
            paths[id] = self.write(str(id), properties)
        directories = {id: directory_id(id) for id in paths}
        voters = ",".join(f"{id}@{self.controller_addresses[id]}:{directories[id]}" for id in paths)
        for id, path in paths.items():
            format_it(path, self.id, "--initial-controllers", voters)
            if ON_YAKT:
                command, up = [YAKT, "run", path], "is up"
            else:
                command, up = [*JAVA, "-Xmx256m", "kafka.Kafka", path], r"Kafka Server started"
            self.controllers[id] = Server(f"{self.name}-{id}", command, up, "info")
        for server in self.controllers.values():
            server.start(wait=False)
        for server in self.controllers.values():
            server.wait_up()
        until("a controller leads", self.leader)

    def add_broker(self, id, wait=True, **more):
        """Formats and starts a broker with an empty directory."""
        address = self.broker_addresses[id]
        properties = self.common() | {
            "process.roles": "broker",
            "node.id": id,
            "broker.rack": "abc"[(id - 1) % 3],
            "listeners": f"PLAINTEXT://{address}",
            "log.dirs": os.path.join(self.folder, str(id)),
            "log.cleaner.dedupe.buffer.size": 10485760,
            "log.initial.task.delay.ms": 500,
            "log.retention.check.interval.ms": 500,
            "group.initial.rebalance.delay.ms": 0,
        }
        path = self.write(str(id), properties | {key.replace("_", "."): value for key, value in more.items()})
        format_it(path, self.id)
        command = [*JAVA, "-Xmx320m", "kafka.Kafka", path]
        self.brokers[id] = Server(f"{self.name}-{id}", command, r"Kafka Server started", "info")
        self.brokers[id].start(wait)

    def describe_quorum(self, id):
        """(leader, epoch, high watermark) as this controller tells it; None while it cannot."""
        return observer.describe_quorum(self.controller_addresses[id])

    def leader(self):
        """Node id of the active controller; None while there is none."""
        for id, server in self.controllers.items():
            if server.process is not None:
                told = self.describe_quorum(id)
                if told is not None and told[0] >= 0:
                    return told[0]
        return None

    def standing(self):
        """(epoch, high watermark) of the active controller."""
        return until("the active controller tells how it stands", self.standing_now)

    def standing_now(self):
        leader = self.leader()
        told = leader and self.describe_quorum(leader)
        return told[1:] if told and told[2] >= 0 else None

    def read_log(self):
        """The committed metadata log from offset 0 on, as the active controller serves it to an observer."""
        log, offset, last_epoch = b"", 0, 0
        connection, leader = None, None
        while True:
            epoch, end = self.standing()
            if offset >= end:
                return log
            if leader != self.leader():
                leader = self.leader()
                connection = frames.Connection(self.controller_addresses[leader])
            records = observer.fetch(connection, epoch, offset, last_epoch)
            for first, size, batch_epoch, last_delta in observer.batches(records):
                offset, last_epoch = first + last_delta + 1, batch_epoch
                log += records[:size]
                records = records[size:]

    def tools(self, *lines, seconds=PATIENCE_SECONDS):
        """What Kafka's command line tools say, all in one JVM."""
        done = subprocess.run(
            [*JAVA, "Tools"], input="\n".join(lines) + "\n", text=True, capture_output=True, timeout=seconds
        )
        for text, name in [(self.id, "CLUSTER_ID"), (self.folder, "FOLDER")]:
            done.stdout = done.stdout.replace(text, name)
        return done.stdout

    def check_brokers(self):
        """Nobody ended by itself, and nobody said what no broker may say."""
        for server in self.brokers.values():
            if server.process is not None:
                server.check_alive()
            with open(server.log, errors="replace") as log:
                for line in log:
                    if FORBIDDEN.search(line):
                        raise SystemExit(f"{server.name} said: {line}")
        for server in self.controllers.values():
            if server.process is not None:
                server.check_alive()


def directory_id(number):
    """A directory id as Kafka writes one, told from the others by its number."""
    return base64.urlsafe_b64encode(struct.pack(">QQ", 0x5354_4F43_4B00_4000, 0x8000_0000_0000_0000 + number)).decode()[:22]


def format_it(path, cluster, *more):
    if "process.roles=controller" in open(path).read() and ON_YAKT:
        command = [YAKT]
    else:
        command = [*JAVA, "kafka.tools.StorageTool"]
    command += ["format", "-t", cluster, "-c", path, *more]
    if not more:
        command += ["--no-initial-controllers"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"cannot format: {done.stdout}{done.stderr}")
