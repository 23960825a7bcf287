"""Topics and their configuration through confluent-kafka's admin client."""

import os
import time

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

TOPIC = "from-confluent"
# Nobody can connect to a broker without an address, so clients are told of no leader.
LEADERLESS = os.environ["STAGE"] == "placed"
admin = AdminClient({"bootstrap.servers": os.environ["BOOTSTRAP"], "log_level": 0})


def attempt(what, futures):
    for future in futures.values():
        try:
            future.result(20)
            print(what + ": done")
        except KafkaException as error:
            print(what + ":", error.args[0].name())


def partitions(count):
    """Waits until the broker knows of so many partitions, then prints them."""
    deadline = time.monotonic() + 10
    while True:
        found = admin.list_topics(timeout=10).topics.get(TOPIC)
        known = [] if found is None else [p for p in found.partitions.values() if LEADERLESS or p.leader >= 0]
        if len(known) == count or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    for partition in sorted(known, key=lambda partition: partition.id):
        print("  partition", partition.id, "leader", partition.leader, "replicas", partition.replicas, "isr", partition.isrs)


def configs():
    resource = ConfigResource(ResourceType.TOPIC, TOPIC)
    found = admin.describe_configs([resource], request_timeout=20)[resource].result(20)
    return {key: found[key].value for key in ("retention.ms", "cleanup.policy", "max.message.bytes")}


def alter(key, value):
    entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
    return admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, TOPIC, incremental_configs=[entry])])


topic = NewTopic(TOPIC, num_partitions=2, replication_factor=1, config={"retention.ms": "60000"})
attempt("create", admin.create_topics([topic]))
attempt("create again", admin.create_topics([topic]))
attempt("create too wide", admin.create_topics([NewTopic("wide", 1, 3)]))
partitions(2)
described = admin.describe_topics(TopicCollection([TOPIC]), request_timeout=20)[TOPIC].result(20)
print("described:", described.name, len(described.partitions), "internal:", described.is_internal)
attempt("add partitions", admin.create_partitions([NewPartitions(TOPIC, 3)]))
attempt("take partitions away", admin.create_partitions([NewPartitions(TOPIC, 1)]))
partitions(3)
print("configs:", configs())
attempt("alter", alter("max.message.bytes", "2000"))
deadline = time.monotonic() + 10
while configs()["max.message.bytes"] != "2000" and time.monotonic() < deadline:
    time.sleep(0.05)  # a broker learns of it a moment after the controller
print("configs:", configs())
attempt("alter to nonsense", alter("max.message.bytes", "many"))
attempt("delete", admin.delete_topics([TOPIC]))
attempt("delete again", admin.delete_topics([TOPIC]))
cluster = admin.describe_cluster(request_timeout=20).result(20)
print("cluster:", sorted(node.id for node in cluster.nodes))
