"""Messages in, messages out, through confluent-kafka."""

import os
import time

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

TOPIC = "messages"
where = {"bootstrap.servers": os.environ["BOOTSTRAP"], "log_level": 0}
admin = AdminClient(where)
for future in admin.create_topics([NewTopic(TOPIC, num_partitions=3, replication_factor=1)]).values():
    future.result(20)

failures = []
plain = Producer({**where, "enable.idempotence": True})
for number in range(30):
    plain.produce(TOPIC, f"plain {number}", on_delivery=lambda error, _message: error and failures.append(error))
print("not sent:", plain.flush(20), "failed:", failures)

careful = Producer({**where, "transactional.id": "careful"})
careful.init_transactions(30)
for kind, end in (("kept", careful.commit_transaction), ("dropped", careful.abort_transaction)):
    careful.begin_transaction()
    for number in range(10):
        careful.produce(TOPIC, f"{kind} {number}")
    careful.flush(20)
    end(20)

reader = Consumer({**where, "group.id": "readers", "auto.offset.reset": "earliest", "enable.auto.commit": False})
reader.subscribe([TOPIC])
seen = []
deadline = time.monotonic() + 30
while len(seen) < 40 and time.monotonic() < deadline:
    message = reader.poll(1)
    if message is not None and message.error() is None:
        seen.append(message.value().decode())
reader.commit(asynchronous=False)
print("read:", {kind: sum(text.startswith(kind) for text in seen) for kind in ("plain", "kept", "dropped")})
print("group:", admin.describe_consumer_groups(["readers"])["readers"].result(20).state.name)
reader.close()
groups = admin.list_consumer_groups(request_timeout=20).result(20)
print("groups:", sorted(group.group_id for group in groups.valid))
topics = admin.list_topics(timeout=20).topics
print("internal topics:", sorted(name for name in topics if name.startswith("__")))
