# kcat lists brokers and topics.
# subjects: kafka yakt mixed
# stages: live
"$PYTHON" - <<'PYTHON'
import os, sys
sys.path.insert(0, os.environ["COMPAT"])
from frames import Connection, create_topic
print("created:", create_topic(Connection(os.environ["CONTROLLER"]), "kcat", [1]))
PYTHON
# A broker learns of a topic a moment after the controller.
for _ in 1 2 3 4 5 6 7 8 9 10; do
  kcat -L -b "$BOOTSTRAP" -t kcat | grep -q 'leader 1' && break
  sleep 0.1
done
kcat -L -b "$BOOTSTRAP" -t kcat
kcat -L -b "$BOOTSTRAP" -t missing
kcat -J -L -b "$BOOTSTRAP" -t kcat | python3 -c '
import json, sys
found = json.load(sys.stdin)
print([broker["id"] for broker in found["brokers"]], found["topics"])'
