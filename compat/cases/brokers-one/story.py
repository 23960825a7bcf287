"""What one stock broker and its clients go through."""

import re
import subprocess

import clients
from stock import Cluster, say, until

RECORDS = 10_000


def kcat(servers, *arguments, text=""):
    done = subprocess.run(["kcat", "-b", servers, *arguments], input=text, capture_output=True, text=True, timeout=60)
    return done.stdout


def first_steps(cluster):
    """Clients that know nothing but where a stranger begins; no internal topic exists yet."""
    at = cluster.at_start
    say("kcat lists the broker: " + str(f"broker 1 at {cluster.broker_addresses[1]}" in kcat(at, "-L")))
    clients.create_topic(at, "first", 2)
    kcat(at, "-P", "-t", "first", "-X", "acks=all", text="".join(f"{i}\n" for i in range(100)))
    read = kcat(at, "-C", "-t", "first", "-o", "beginning", "-e", "-q").split()
    say(f"kcat produces and consumes: {len(set(read))} of 100")
    say(f"a group begins: {len(clients.read_by_group(at, 'first', 'strangers', 60))} of 60")
    say(f"and goes on: {len(clients.read_by_group(at, 'first', 'strangers', 40))} of 40")
    clients.transaction(clients.transactional(at, "stranger"), "first", range(100, 110), commit=True)
    say("a transaction is committed")


def through_the_broker(cluster):
    at = cluster.at_brokers
    clients.create_topic(at, "orders", 3)
    kcat(at, "-P", "-t", "orders", "-X", "acks=all", text="".join(f"{i}\n" for i in range(RECORDS)))
    read = kcat(at, "-C", "-t", "orders", "-o", "beginning", "-e", "-q").split()
    say(f"produced and consumed: {len(read)}, different: {len(set(read))}")
    group = clients.read_by_group(at, "orders", "classic", RECORDS)
    say(f"read by a classic group: {len(set(group))}")
    group = clients.read_by_group(at, "orders", "consumer", RECORDS, **{"group.protocol": "consumer"})
    say(f"read by a group of the new protocol: {len(set(group))}")
    acknowledged = clients.produce(at, "orders", range(RECORDS, RECORDS + 1000), **{"enable.idempotence": True})
    say(f"acknowledged to an idempotent producer: {acknowledged}")
    clients.create_topic(at, "payments", 1)
    producer = clients.transactional(at, "cashier")
    clients.transaction(producer, "payments", range(100), commit=True)
    clients.transaction(producer, "payments", range(100, 200), commit=False)
    clients.transaction(producer, "payments", range(200, 300), commit=True)
    committed = clients.read_all(at, "payments")[0]
    everything = clients.read_all(at, "payments", **{"isolation.level": "read_uncommitted"})[0]
    say(f"committed: {len(committed)} of {len(everything)}, none aborted: {not set(committed) & set(map(str, range(100, 200)))}")


def configurations(cluster):
    """Changed at run time, and obeyed."""
    at = cluster.at_brokers
    clients.create_topic(at, "settings", 1)

    def obeyed(what, size, error):
        until(f"{size} bytes: {error}", lambda: clients.attempt(at, "settings", size) == error)
        say(f"{what}: {size} bytes, {error or 'accepted'}")

    obeyed("by default", 5000, None)
    clients.alter(at, "TOPIC", "settings", "max.message.bytes", "2000")
    obeyed("max.message.bytes of the topic", 5000, "MSG_SIZE_TOO_LARGE")
    obeyed("max.message.bytes of the topic", 1000, None)
    clients.alter(at, "TOPIC", "settings", "max.message.bytes", None)
    obeyed("default again", 5000, None)
    defaults = f"kafka-configs --bootstrap-server {at} --alter --entity-type brokers --entity-default"
    cluster.tools(f"{defaults} --add-config message.max.bytes=3000")  # librdkafka cannot name all brokers
    obeyed("message.max.bytes of all brokers", 5000, "MSG_SIZE_TOO_LARGE")
    clients.alter(at, "BROKER", "1", "message.max.bytes", "8000")
    obeyed("message.max.bytes of this broker", 5000, None)
    clients.alter(at, "BROKER", "1", "message.max.bytes", None)
    cluster.tools(f"{defaults} --delete-config message.max.bytes")
    clients.alter(at, "TOPIC", "settings", "retention.ms", "1")
    until("the records are deleted", lambda: clients.read_all(at, "settings") == {0: []})
    say("retention.ms of the topic: the records are deleted")


def quorum_tools(cluster):
    """The broker is an observer; what is counted gets a name."""
    lines = [
        f"kafka-metadata-quorum {at} describe {what}"
        for at in (f"--bootstrap-server {cluster.at_brokers}", f"--bootstrap-controller {cluster.at_controllers}")
        for what in ("--status", "--replication")
    ]
    text = cluster.tools(*lines)
    text = re.sub(r"(?m)^((LeaderEpoch|HighWatermark|MaxFollowerLag|MaxFollowerLagTimeMs): +)-?\d+", r"\1NUMBER", text)
    text = re.sub(r"(?m)^(\d+\s+\S+)\s+(-?\d+\s+){4}(Leader|Follower|Observer)", r"\1 NUMBERS \3", text)
    say(re.sub(r"(?m)[ \t]+$", "", text).rstrip())


def stop_and_restart(cluster):
    broker, at = cluster.brokers[1], cluster.at_brokers
    status = broker.terminate(20)
    said = broker.says("controller has asked us to exit controlled shutdown") is not None
    say(f"SIGTERM: status {status}, the controller let it go: {said}")
    broker.start()
    until("the broker leads again", lambda: len(clients.leaders(clients.admin(at), "orders")) == 3)
    values = clients.read_all(at, "orders")
    say(f"after the restart: {len(set().union(*values.values()))} records")
    say(f"acknowledged after it: {clients.produce(at, 'orders', range(RECORDS + 1000, RECORDS + 1100))}")
    say(f"the group goes on: {len(clients.read_by_group(at, 'orders', 'classic', 1100))}")


with Cluster("one", controllers=1, brokers=1) as cluster:
    cluster.add_controllers()
    cluster.add_broker(1)
    say("the broker is up")
    first_steps(cluster)
    through_the_broker(cluster)
    configurations(cluster)
    quorum_tools(cluster)
    stop_and_restart(cluster)
    cluster.check_brokers()
    cluster.brokers[1].terminate(20)
    say(f"the controller ends after SIGTERM: {cluster.controllers[3001].terminate(20) in (0, 143)}")
