"""A snapshot is all that a broker needs to know what happened before."""

import glob
import json
import os
import re
import shutil
import subprocess
import urllib.request

import clients
from stock import ON_YAKT, Cluster, note, say, until

# Apache makes snapshots by itself, when so many bytes have come; YAKt is asked for one.
OFTEN = {"yakt_history_retention_ms": 0} if ON_YAKT else {"metadata_log_max_record_bytes_between_snapshots": 200}


def snapshot(cluster):
    """The path of a snapshot that has everything up to now."""
    end = cluster.standing()[1]
    if ON_YAKT:
        return until("YAKt makes a snapshot", lambda: asked_snapshot(cluster, end))
    folder = os.path.join(cluster.folder, "3001", "__cluster_metadata-0")
    found = until("the controller makes a snapshot", lambda: newest(folder, end))
    # The controller's folder is locked.
    return shutil.copy(found, cluster.folder)


def asked_snapshot(cluster, end):
    at = f"http://{cluster.http[3001]}/v1/snapshots"
    with urllib.request.urlopen(urllib.request.Request(at, method="POST", data=b""), timeout=60) as answer:
        made = json.load(answer)
    note(f"POST /v1/snapshots: {made}")
    if made["end_offset"] < end:
        return None
    path = os.path.join(cluster.folder, made["id"] + ".checkpoint")
    with urllib.request.urlopen(f"{at}/{made['id']}", timeout=60) as answer, open(path, "wb") as file:
        shutil.copyfileobj(answer, file)
    return path


def newest(folder, least):
    """The newest snapshot of this metadata log that reaches as far; None: there is none."""
    found = sorted(glob.glob(os.path.join(folder, "0*.checkpoint")))
    if found and int(os.path.basename(found[-1])[:20]) >= least:
        return found[-1]
    return None


def began_with_snapshot(cluster, id, least):
    return newest(os.path.join(cluster.folder, str(id), "__cluster_metadata-0"), least) is not None


def knows(cluster, id):
    """What this broker alone says of the topics."""
    topics = clients.admin(cluster.broker_addresses[id]).list_topics(timeout=60).topics
    return sorted(name for name in topics if not name.startswith("__"))


def works(cluster, id, topic):
    """A topic whose only replica is on this broker."""
    clients.create_topic_on(cluster.at_brokers, topic, [id])
    at = cluster.broker_addresses[id]
    acknowledged = clients.produce(at, topic, range(100))
    read = clients.read_all(at, topic)[0]
    say(f"  it stores {acknowledged} records and gives back {len(read)}")


def read_by_tools(cluster, path):
    dump = cluster.tools(f"kafka-dump-log --cluster-metadata-decoder --files {path}")
    for pattern in [
        "SnapshotHeader",
        "KRaftVoters",
        '"REGISTER_BROKER_RECORD".*"brokerId":1,',
        '"TOPIC_RECORD".*"name":"kept"',
        '"TOPIC_RECORD".*"name":"deleted"',
        '"CONFIG_RECORD".*"kept","name":"retention.ms","value":"123456"',
        "SnapshotFooter",
    ]:
        say(f"kafka-dump-log: {pattern}: {re.search(pattern, dump) is not None}")
    say("kafka-dump-log: complaints: " + str(re.findall(r"(?i).*(?:could not|exception|invalid|corrupt).*", dump)))
    shell = f"kafka-metadata-shell --snapshot {path}"
    for what in ["", "/kept", "/kept/0"]:
        text = shell_says(cluster, f"{shell} ls /image/topics/byName{what}")
        say(re.sub(r"/\S*\.checkpoint|FOLDER/\S+", "SNAPSHOT", text).rstrip())


def shell_says(cluster, command):
    """Kafka's shell now and then waits for ever, for its own loading, with Apache's snapshots too."""
    for _ in range(5):
        try:
            return cluster.tools(command, seconds=15)
        except subprocess.TimeoutExpired:
            note("kafka-metadata-shell hangs")
    raise SystemExit("kafka-metadata-shell always hangs")


with Cluster("late", controllers=1, brokers=2) as cluster:
    one = {"offsets_topic_replication_factor": 1, "min_insync_replicas": 1}
    cluster.add_controllers(**OFTEN, **one)
    cluster.add_broker(1, **one)
    say("a broker is up")
    clients.create_topic_on(cluster.at_brokers, "kept", [1], retention_ms="123456")
    clients.create_topic_on(cluster.at_brokers, "deleted", [1])
    clients.delete_topic(cluster.at_brokers, "deleted")
    clients.produce(cluster.at_brokers, "kept", range(100))
    path = snapshot(cluster)
    end = int(os.path.basename(path)[:20])
    read_by_tools(cluster, path)

    cluster.add_broker(2, **one)
    say(f"a broker with an empty directory begins with the snapshot: {began_with_snapshot(cluster, 2, end)}")
    say(f"  it knows {knows(cluster, 2)}")
    works(cluster, 2, "on-late")

    cluster.brokers[2].terminate(60)
    clients.create_topic_on(cluster.at_brokers, "while-away", [1])
    snapshot(cluster)
    clients.create_topic_on(cluster.at_brokers, "while-away-too", [1])
    end = int(os.path.basename(snapshot(cluster))[:20])
    cluster.brokers[2].start()
    note(f"the broker that slept began with the snapshot: {began_with_snapshot(cluster, 2, end)}")
    say(f"a broker that slept while snapshots were made knows {knows(cluster, 2)}")
    works(cluster, 2, "on-slept")

    cluster.brokers[2].kill()
    shutil.rmtree(os.path.join(cluster.folder, "2"))
    end = int(os.path.basename(snapshot(cluster))[:20])
    cluster.add_broker(2, **one)
    say(f"a broker that lost its directory begins with the snapshot: {began_with_snapshot(cluster, 2, end)}")
    say(f"  it knows {knows(cluster, 2)}")
    works(cluster, 2, "on-wiped")
    cluster.check_brokers()
    say("no process ended by itself, no broker complained of its controller")
