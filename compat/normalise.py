"""Gives a name to what differs from run to run: addresses, ids, times. Reads standard input."""

import os
import re
import sys

text = sys.stdin.read()
for name in ("RUN", "CLUSTER_ID"):
    if os.environ.get(name):
        text = text.replace(os.environ[name], name)
for pattern, name in [
    # A stack trace says where, not what.
    (r"(?m)^(\s+at [\w.$/]+\(.*\)|\s+\.\.\. \d+ more)\n", ""),
    # Log lines of the clients, about the same thing as the lines around them.
    (r"(?m)^\[\d{4}-\d\d-\d\d .*\n", ""),
    (r"(127\.0\.0\.1|localhost)(\\?/127\.0\.0\.1)?:\d+", "ADDRESS"),
    (r"127\.0\.0\.1 +\d+ +", "ADDRESS "),
    # A uuid as Kafka writes it: 22 characters of base64, of which the last carries two bits.
    (r"(?<![\w-])(?=[\w-]*[A-Z0-9])[A-Za-z0-9_-]{21}[AQgw](?![\w-])", "UUID"),
    (r"\b1[78]\d{11}\b", "MILLIS"),
]:
    text = re.sub(pattern, name, text)
sys.stdout.write(text)
