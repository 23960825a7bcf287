"""Topics and their configuration through kafka-python's admin client."""

import os
import time

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic

TOPIC = "from-kafka-python"
# Nobody can connect to a broker without an address, so clients are told of no leader.
LEADERLESS = os.environ["STAGE"] == "placed"
admin = KafkaAdminClient(bootstrap_servers=os.environ["BOOTSTRAP"], request_timeout_ms=20_000)


def attempt(what, call):
    try:
        answer = call()
        print(what + ": done")
        return answer
    except Exception as error:
        print(what + ":", type(error).__name__)


def configs():
    resource = ConfigResource(ConfigResourceType.TOPIC, TOPIC)
    found = admin.describe_configs([resource], config_filter="all")["topic"][TOPIC]
    return {key: found[key]["value"] for key in ("retention.ms", "cleanup.policy", "max.message.bytes")}


def alter(**changes):
    changes = {key.replace("_", "."): value for key, value in changes.items()}
    answer = admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, TOPIC, configs=changes)])
    print("  alter:", answer["topic"][TOPIC])


def described(count):
    """Waits until the broker knows of so many partitions, then prints them."""
    deadline = time.monotonic() + 10
    known = []
    while len(known) != count and time.monotonic() < deadline:
        time.sleep(0.05)
        partitions = admin.describe_topics([TOPIC])[0]["partitions"]
        known = [partition for partition in partitions if LEADERLESS or partition["leader_id"] >= 0]
    for partition in sorted(known, key=lambda partition: partition["partition_index"]):
        print("  partition", partition["partition_index"], "leader", partition["leader_id"],
              "replicas", partition["replica_nodes"], "isr", partition["isr_nodes"])


topic = NewTopic(TOPIC, num_partitions=2, replication_factor=1, topic_configs={"retention.ms": "60000"})
created = attempt("create", lambda: admin.create_topics([topic]))
for key, entry in sorted(created["topics"][0]["configs"].items()):
    print(f"  {key}={entry['value']} {entry['config_source']}")
attempt("create again", lambda: admin.create_topics([topic]))
attempt("create too wide", lambda: admin.create_topics([NewTopic("wide", num_partitions=1, replication_factor=3)]))
deadline = time.monotonic() + 10
while TOPIC not in admin.list_topics() and time.monotonic() < deadline:
    time.sleep(0.05)
print("listed:", TOPIC in admin.list_topics())
described(2)
attempt("add partitions", lambda: admin.create_partitions({TOPIC: 3}))
attempt("take partitions away", lambda: admin.create_partitions({TOPIC: 1}))
described(3)
print("configs:", configs())
attempt("alter", lambda: alter(max_message_bytes="2000", cleanup_policy="compact"))
deadline = time.monotonic() + 10
while configs()["max.message.bytes"] != "2000" and time.monotonic() < deadline:
    time.sleep(0.05)  # a broker learns of it a moment after the controller
print("configs:", configs())
attempt("alter to nonsense", lambda: alter(max_message_bytes="many"))
attempt("delete", lambda: admin.delete_topics([TOPIC]))
attempt("delete again", lambda: admin.delete_topics([TOPIC]))
print("cluster:", sorted(node["broker_id"] for node in admin.describe_cluster()["brokers"]))
