"""Producers and consumers that keep accounts; on librdkafka."""

import itertools
import threading
import time
import uuid

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from stock import PATIENCE_SECONDS, until

QUIET = {"log_level": 0, "reconnect.backoff.max.ms": 500}


def admin(servers):
    return AdminClient({"bootstrap.servers": servers, **QUIET})


def create_topic(servers, name, partitions=3, copies=-1, **configs):
    """Creates it and waits until the brokers know all leaders."""
    create(servers, NewTopic(name, partitions, copies, config=dotted(configs)), partitions)


def create_topic_on(servers, name, brokers, **configs):
    """The same with one partition, on these brokers."""
    create(servers, NewTopic(name, 1, replica_assignment=[brokers], config=dotted(configs)), 1)


def create(servers, topic, partitions):
    client = admin(servers)
    client.create_topics([topic])[topic.topic].result(PATIENCE_SECONDS)
    until(f"{topic.topic} has leaders", lambda: len(leaders(client, topic.topic)) == partitions)


def delete_topic(servers, name):
    client = admin(servers)
    client.delete_topics([name])[name].result(PATIENCE_SECONDS)
    until(f"{name} is gone", lambda: name not in client.list_topics(timeout=10).topics)


def dotted(configs):
    return {key.replace("_", "."): value for key, value in configs.items()}


def leaders(client, name):
    """Partition to leader, of those that have one."""
    return {id: it.leader for id, it in described(client, name).items() if it.leader >= 0}


def described(client, name):
    try:
        found = client.list_topics(timeout=10).topics.get(name)
    except KafkaException:
        return {}
    return {} if found is None else found.partitions


def alter(servers, kind, name, key, value):
    """Sets a configuration, or with None deletes it."""
    operation = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
    entry = ConfigEntry(key, value, incremental_operation=operation)
    resource = ConfigResource(ResourceType[kind], name, incremental_configs=[entry])
    client = admin(servers)
    client.incremental_alter_configs([resource])[resource].result(PATIENCE_SECONDS)


def attempt(servers, topic, size, **configs):
    """Produces one value of this size; gives back the name of the error, or None."""
    result = []
    producer = Producer({"bootstrap.servers": servers, "message.max.bytes": 10_000_000, **QUIET, **configs})
    producer.produce(topic, bytes(size), partition=0, on_delivery=lambda error, _: result.append(error))
    producer.flush(PATIENCE_SECONDS)
    return result[0] and result[0].name()


def produce(servers, topic, values, **configs):
    """Produces them and gives back how many were acknowledged."""
    acknowledged = []
    producer = Producer({"bootstrap.servers": servers, "acks": "all", **QUIET, **configs})

    def on_delivery(error, _message):
        if error is None:
            acknowledged.append(1)

    for value in values:
        producer.produce(topic, str(value), key=str(value), on_delivery=on_delivery)
        producer.poll(0)
    producer.flush(PATIENCE_SECONDS)
    return len(acknowledged)


def transaction(producer, topic, values, commit):
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, str(value), partition=0)
    if commit:
        producer.commit_transaction(PATIENCE_SECONDS)
    else:
        producer.flush(PATIENCE_SECONDS)
        producer.abort_transaction(PATIENCE_SECONDS)


def transactional(servers, name):
    producer = Producer({"bootstrap.servers": servers, "transactional.id": name, **QUIET})
    producer.init_transactions(PATIENCE_SECONDS)
    return producer


def read_by_group(servers, topic, group, count, **configs):
    """Joins the group, reads so many records and commits them; the values in the order of reading."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **QUIET,
            **configs,
        }
    )
    consumer.subscribe([topic])
    values = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(values) < count and time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            values.append(message.value().decode())
    if values:
        consumer.commit(asynchronous=False)
    consumer.close()
    return values


def read_all(servers, topic, **configs):
    """Everything in the topic now, without a group: values by partition."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": str(uuid.uuid4()), **QUIET, **configs})
    partitions = consumer.list_topics(topic, PATIENCE_SECONDS).topics[topic].partitions
    ends = {}
    for id in partitions:
        low, high = until("its ends are told", lambda: watermarks(consumer, TopicPartition(topic, id)))
        if high > low:
            ends[id] = high
    consumer.assign([TopicPartition(topic, id, OFFSET_BEGINNING) for id in partitions])
    values = {id: [] for id in partitions}

    def at_end():
        positions = consumer.position([TopicPartition(topic, id) for id in ends])
        return all(it.offset >= ends[it.partition] for it in positions)

    deadline = time.monotonic() + PATIENCE_SECONDS
    while not at_end() and time.monotonic() < deadline:
        for message in consumer.consume(1000, 0.5):
            if message.error() is None:
                values[message.partition()].append(message.value().decode())
    consumer.close()
    return values


def watermarks(consumer, partition):
    """None while its leader, just started, does not know yet that it leads."""
    try:
        return consumer.get_watermark_offsets(partition, PATIENCE_SECONDS)
    except KafkaException:
        return None


class Account:
    """A producer and a reading consumer that go on whatever happens, and what they have to show for it.

    Values are numbers that grow; the key spreads them over the partitions.
    """

    def __init__(self, servers, topic):
        self.topic, self.acknowledged, self.failed, self.read = topic, set(), [], []
        self.over, self.produced_all = threading.Event(), threading.Event()
        self.producer = Producer(
            {
                "bootstrap.servers": servers,
                "acks": "all",
                "enable.idempotence": True,
                "message.timeout.ms": 300_000,
                "linger.ms": 5,
                **QUIET,
            }
        )
        self.consumer = Consumer(
            {"bootstrap.servers": servers, "group.id": "account", "enable.auto.commit": False, **QUIET}
        )
        count = len(self.consumer.list_topics(topic, PATIENCE_SECONDS).topics[topic].partitions)
        self.consumer.assign([TopicPartition(topic, id, OFFSET_BEGINNING) for id in range(count)])
        self.threads = [threading.Thread(target=self.produce, daemon=True), threading.Thread(target=self.consume, daemon=True)]
        for thread in self.threads:
            thread.start()

    def produce(self):
        for number in itertools.count():
            if self.over.is_set():
                break
            try:
                self.producer.produce(self.topic, str(number), key=str(number % 50), on_delivery=self.delivered)
            except BufferError:
                pass  # so many are under way; the number is left out
            self.producer.poll(0.005)
        self.producer.flush(PATIENCE_SECONDS)
        self.produced_all.set()

    def delivered(self, error, message):
        number = int(message.value())
        if error is None:
            self.acknowledged.add(number)
        else:
            self.failed.append((number, error.name()))

    def consume(self):
        quiet_since = None
        while quiet_since is None or time.monotonic() - quiet_since < 10:
            messages = [it for it in self.consumer.consume(1000, 0.5) if it.error() is None]
            self.read += [(it.partition(), int(it.key()), int(it.value())) for it in messages]
            missing = self.produced_all.is_set() and not self.missing()
            if missing and not messages:
                break
            waiting = self.produced_all.is_set() and not messages
            quiet_since = (quiet_since or time.monotonic()) if waiting else None
        self.consumer.close()

    def missing(self):
        return self.acknowledged - {number for _, _, number in self.read}

    def goes_on(self, count=200):
        """Waits until so many more are acknowledged, all of them sent from now on."""
        wanted = max(self.acknowledged, default=0)
        until("the producer goes on", lambda: sum(1 for it in list(self.acknowledged) if it > wanted) >= count)

    def close(self):
        """What went wrong, as sentences; none is as it should be."""
        self.over.set()
        for thread in self.threads:
            thread.join(2 * PATIENCE_SECONDS)
        problems = [f"not acknowledged: {self.failed[:5]}"] if self.failed else []
        numbers = [number for _, _, number in self.read]
        if self.missing():
            problems.append(f"lost: {len(self.missing())}, such as {sorted(self.missing())[:5]}")
        if len(numbers) != len(set(numbers)):
            problems.append(f"read twice: {len(numbers) - len(set(numbers))}")
        by_key = {}
        for _partition, key, number in self.read:
            if number <= by_key.get(key, -1):
                problems.append(f"key {key}: {number} after {by_key[key]}")
                break
            by_key[key] = number
        return problems
