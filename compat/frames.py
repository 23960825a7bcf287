"""A broker as small as it can be: Kafka frames by hand, with nothing but the standard library.

    frames.py broker --controller HOST:PORT --id N --advertise HOST:PORT
        registers a broker that is reached at the advertised address, unfences it, says so, and sends
        heartbeats until it is ended
    frames.py cluster-id --controller HOST:PORT
    frames.py story --controller HOST:PORT --id N
        registration, heartbeats, producer ids and farewell, with all the answers
"""

import argparse
import socket
import struct
import sys
import time
import uuid

ALLOCATE_PRODUCER_IDS, BROKER_REGISTRATION, BROKER_HEARTBEAT = 67, 62, 63
CREATE_TOPICS, DELETE_TOPICS, DESCRIBE_CLUSTER, UNREGISTER_BROKER = 19, 20, 60, 64
NOT_CONTROLLER = 41
RETRIED = (NOT_CONTROLLER, 7, 8)  # and REQUEST_TIMED_OUT, BROKER_NOT_AVAILABLE
# A metadata offset beyond any log: "I have seen everything".
CAUGHT_UP = 1 << 60
FEATURES = [
    ("metadata.version", 7, 30),
    ("kraft.version", 0, 1),
    ("transaction.version", 0, 2),
    ("group.version", 0, 1),
    ("eligible.leader.replicas.version", 0, 1),
    ("share.version", 0, 1),
    ("streams.version", 0, 1),
]


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def text(value):
    return varint(0) if value is None else varint(len(value.encode()) + 1) + value.encode()


def array(items):
    return varint(len(items) + 1) + b"".join(items)


TAGS = varint(0)


class Reader:
    """Reads an answer from front to back."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return values[0] if len(values) == 1 else values

    def varint(self):
        number, shift = 0, 0
        while True:
            byte = self.take("B")
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def text(self):
        length = self.varint() - 1
        if length < 0:
            return None
        self.at += length
        return self.data[self.at - length : self.at].decode()

    def tags(self):
        for _ in range(self.varint()):
            self.varint()
            self.at += self.varint()


class Connection:
    """One connection to a controller; every request is answered before the next is sent."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout=30)
        self.correlation = 0

    def call(self, key, version, body):
        """Sends a request of a flexible version; gives back the answer behind its header."""
        self.correlation += 1
        client = b"frames"
        header = struct.pack(">hhih", key, version, self.correlation, len(client)) + client + TAGS
        self.socket.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
        answer = Reader(self.receive(struct.unpack(">i", self.receive(4))[0]))
        assert answer.take("i") == self.correlation, "answers come in the order of requests"
        answer.tags()
        return answer

    def receive(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise ConnectionError("the connection was closed")
            data += more
        return data


class Broker:
    """What a broker tells the controller about itself."""

    def __init__(self, address, broker_id, advertise):
        self.connection = Connection(address)
        self.id, self.advertise = broker_id, advertise
        self.incarnation, self.epoch = uuid.uuid4(), -1
        self.cluster_id = cluster_id(self.connection)

    def register(self, cluster=None, incarnation=None):
        host, port = self.advertise.rsplit(":", 1)
        listener = text("PLAINTEXT") + text(host) + struct.pack(">Hh", int(port), 0) + TAGS
        features = [text(name) + struct.pack(">hh", low, high) + TAGS for name, low, high in FEATURES]
        body = struct.pack(">i", self.id) + text(cluster or self.cluster_id)
        body += (incarnation or self.incarnation).bytes + array([listener]) + array(features)
        body += text(None) + b"\0" + array([uuid.uuid4().bytes]) + struct.pack(">q", -1) + TAGS

        def once():
            answer = self.connection.call(BROKER_REGISTRATION, 4, body)
            _throttle, error, epoch = answer.take("ihq")
            return error, epoch

        error, epoch = retried(once)
        if error == 0:
            self.epoch = epoch
        return error

    def heartbeat(self, want_fence=False, want_shut_down=False, epoch=None):
        """Error, and the flags caught up, fenced, should shut down."""
        body = struct.pack(">iqq??", self.id, self.epoch if epoch is None else epoch, CAUGHT_UP, want_fence, want_shut_down)
        body += TAGS

        def once():
            answer = self.connection.call(BROKER_HEARTBEAT, 1, body)
            _throttle, error, caught_up, fenced, shut_down = answer.take("ih???")
            return error, caught_up, fenced, shut_down

        return retried(once)

    def unfence(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            error, _caught_up, fenced, _shut_down = self.heartbeat()
            if error == 0 and not fenced:
                return
            time.sleep(0.05)
        raise SystemExit("the broker stays fenced")


def cluster_id(connection):
    body = struct.pack(">?b", False, 2) + TAGS  # the controllers' view

    def once():
        answer = connection.call(DESCRIBE_CLUSTER, 1, body)
        error = answer.take("4xh")
        return error, answer

    _error, answer = retried(once)
    answer.text()
    answer.take("b")
    return answer.text()


def retried(once):
    """Asks again while the controller is not ready; answers of `once` begin with an error code."""
    deadline = time.monotonic() + 20
    while True:
        answer = once()
        if answer[0] not in RETRIED or time.monotonic() > deadline:
            return answer
        time.sleep(0.05)


def create_topic(connection, name, assignment):
    """Creates a topic with one partition on these brokers; gives back the error code."""
    brokers = array([struct.pack(">i", broker) for broker in assignment])
    partition = struct.pack(">i", 0) + brokers + TAGS
    topic = text(name) + struct.pack(">ih", -1, -1) + array([partition]) + array([]) + TAGS
    answer = connection.call(CREATE_TOPICS, 7, array([topic]) + struct.pack(">i?", 10_000, False) + TAGS)
    answer.take("i")
    answer.varint()
    answer.text()
    answer.take("16s")
    return answer.take("h")


def delete_topic(connection, name):
    topic = text(name) + bytes(16) + TAGS
    answer = connection.call(DELETE_TOPICS, 6, array([topic]) + struct.pack(">i", 10_000) + TAGS)
    answer.take("i")
    answer.varint()
    answer.text()
    answer.take("16s")
    return answer.take("h")


def allocate_producer_ids(broker, epoch=None):
    body = struct.pack(">iq", broker.id, broker.epoch if epoch is None else epoch) + TAGS
    answer = broker.connection.call(ALLOCATE_PRODUCER_IDS, 0, body)
    _throttle, error, start, length = answer.take("ihqi")
    return error, start, length


def unregister(broker):
    answer = broker.connection.call(UNREGISTER_BROKER, 0, struct.pack(">i", broker.id) + TAGS)
    return answer.take("4xh")


def story(args):
    """What is printed is the same against every controller that is right."""
    broker = Broker(args.controller, args.id, "127.0.0.1:1")
    print("heartbeat before registration:", broker.heartbeat(epoch=1))
    print("registration for another cluster:", broker.register(cluster="another"))
    print("registration:", broker.register())
    first = broker.epoch
    print("the same incarnation again:", broker.register(), "same epoch:", broker.epoch == first)
    print("heartbeat that wants to stay fenced:", broker.heartbeat(want_fence=True))
    print("heartbeat with a wrong epoch:", broker.heartbeat(epoch=broker.epoch + 1))
    print("heartbeat that wants to be unfenced:", broker.heartbeat())
    print("another incarnation while this one lives:", broker.register(incarnation=uuid.uuid4()))
    print("producer ids with a wrong epoch:", allocate_producer_ids(broker, epoch=broker.epoch + 1)[0])
    error, start, length = allocate_producer_ids(broker)
    print("producer ids:", error, length)
    _error, next_start, _length = allocate_producer_ids(broker)
    print("the next block begins", next_start - start, "further on")
    print("topic on this broker:", create_topic(broker.connection, "frames", [broker.id]))
    print("the same again:", create_topic(broker.connection, "frames", [broker.id]))
    print("topic on a broker that is not there:", create_topic(broker.connection, "frames2", [broker.id + 1]))
    print("topic with a bad name:", create_topic(broker.connection, "a/b", [broker.id]))
    print("topic deleted:", delete_topic(broker.connection, "frames"))
    print("deleted again:", delete_topic(broker.connection, "frames"))
    print("heartbeat that wants to shut down:", broker.heartbeat(want_shut_down=True))
    print("unregistered:", unregister(broker))
    print("unregistered again:", unregister(broker))
    print("heartbeat after that:", broker.heartbeat())


def stay(args):
    broker = Broker(args.controller, args.id, args.advertise)
    deadline = time.monotonic() + 20
    while (error := broker.register()) != 0:  # an earlier incarnation may still be alive
        if time.monotonic() > deadline:
            raise SystemExit(f"the broker cannot be registered: error {error}")
        time.sleep(0.2)
    broker.unfence()
    print("unfenced", flush=True)
    while True:
        time.sleep(1)
        error = broker.heartbeat()[0]
        if error != 0:
            print("heartbeat: error", error, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["broker", "cluster-id", "story"])
    parser.add_argument("--controller", required=True)
    parser.add_argument("--id", type=int, default=1)
    parser.add_argument("--advertise", default="127.0.0.1:1")
    args = parser.parse_args()
    if args.what == "broker":
        stay(args)
    elif args.what == "story":
        story(args)
    else:
        print(cluster_id(Connection(args.controller)))


if __name__ == "__main__":
    main()
