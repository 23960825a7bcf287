"""Looks at the quorum as an observer does: DescribeQuorum and Fetch of the metadata log, in frames by hand."""

import struct
import threading
import time

import frames

DESCRIBE_QUORUM, FETCH = 55, 1
METADATA_TOPIC_ID = bytes(15) + b"\x01"


def describe_quorum(address):
    """(leader, epoch, high watermark) as this controller tells it; None while it cannot."""
    try:
        partition = struct.pack(">i", 0) + frames.TAGS
        topic = frames.text("__cluster_metadata") + frames.array([partition]) + frames.TAGS
        connection = frames.Connection(address)
        with connection.socket:
            answer = connection.call(DESCRIBE_QUORUM, 2, frames.array([topic]) + frames.TAGS)
    except OSError:
        return None
    error = answer.take("h")
    answer.text()
    if error != 0 or answer.varint() != 2:
        return None
    answer.text()
    answer.varint()
    _index, error = answer.take("ih")
    answer.text()
    return answer.take("iiq") if error == 0 else None


def fetch(connection, epoch, offset, last_epoch):
    """The batches from this offset on."""
    partition = struct.pack(">iiqiqi", 0, epoch, offset, last_epoch, -1, 1 << 20) + frames.TAGS
    topic = METADATA_TOPIC_ID + frames.array([partition]) + frames.TAGS
    body = struct.pack(">iiibii", 500, 0, 1 << 20, 0, 0, -1)
    body += frames.array([topic]) + frames.array([]) + frames.text("") + frames.TAGS
    answer = connection.call(FETCH, 17, body)
    _throttle, error, _session = answer.take("ihi")
    if error != 0 or answer.varint() != 2:
        return b""
    answer.take("16s")
    answer.varint()
    _index, error, _end, _stable, _start = answer.take("ihqqq")
    answer.at += max(0, answer.varint() - 1) * 17  # aborted transactions
    answer.take("i")
    size = answer.varint() - 1
    if error != 0:
        time.sleep(0.1)
        return b""
    return answer.data[answer.at : answer.at + max(0, size)]


def batches(records):
    """(first offset, size, leader epoch, last offset delta) of each whole batch."""
    while len(records) >= 61:
        first, length, epoch = struct.unpack_from(">qii", records)
        last_delta = struct.unpack_from(">i", records, 23)[0]
        size = 12 + length
        if len(records) < size:
            return
        yield first, size, epoch, last_delta
        records = records[size:]


class Watch(threading.Thread):
    """Asks all controllers again and again how they stand; neither epoch nor offset may go back."""

    def __init__(self, addresses):
        super().__init__(daemon=True)
        self.addresses, self.over, self.problems = addresses, threading.Event(), []

    def run(self):
        before = (0, 0)
        while not self.over.wait(0.2):
            for id, address in self.addresses.items():
                told = describe_quorum(address)
                if told is None or told[0] != id or told[2] < 0:
                    continue  # only the leader's word is the quorum's, and a new one does not know at first
                epoch, end = told[1:]
                if (epoch, end) < before or end < before[1]:
                    self.problems.append(f"{id} leads and says {(epoch, end)} after {before}")
                else:
                    before = (epoch, end)

    def stop(self):
        self.over.set()
        self.join()
        if self.problems:
            raise SystemExit("\n".join(self.problems))
