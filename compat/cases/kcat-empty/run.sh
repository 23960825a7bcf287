# kcat asks a cluster that has no broker yet. Apache cannot be asked this: its controllers do not
# answer Metadata.
# subjects: yakt
# stages: empty
kcat -L -b "$BOOTSTRAP"
kcat -L -b "$BOOTSTRAP" -t missing
kcat -J -L -b "$BOOTSTRAP" | python3 -c 'import json, sys; found = json.load(sys.stdin); print(sorted(found), [b["id"] for b in found["brokers"]], found["topics"])'
