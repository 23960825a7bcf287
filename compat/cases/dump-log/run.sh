# Kafka's own decoder reads the log and a snapshot, and finds in them what was done before.
# subjects: kafka yakt mixed
# stages: live stopped
. "$COMPAT/tools.sh"
cd "$RUN"

if [ "$STAGE" = live ]; then
  tools <<EOF
kafka-topics --bootstrap-server $BOOTSTRAP --create --topic dumped --partitions 2 --config retention.ms=1000
kafka-topics --bootstrap-server $BOOTSTRAP --create --topic dumped-and-gone
sleep 300
kafka-topics --bootstrap-server $BOOTSTRAP --delete --topic dumped-and-gone
EOF
  if [ "$SUBJECT" = kafka ]; then
    # It is told to make snapshots often; one of them must know the topic.
    timeout 20 sh -c 'until grep -q dumped controller/__cluster_metadata-0/*.checkpoint; do sleep 0.2; done'
  fi
  exit
fi

if [ "$SUBJECT" != kafka ]; then
  rm -rf exported
  "$YAKT" export --log -c "$CONFIG" -o exported >exported.txt || exit 1
  "$YAKT" export --snapshot -c "$CONFIG" -o exported >>exported.txt || exit 1
  files=exported
else
  files=controller
fi
log=$(find $files -name '*.log' | sort | head -n 1)
snapshot=$(find $files -name '0*.checkpoint' | sort | tail -n 1)

# found PATTERN: whether the dump holds it.
found() {
  if grep -qE "$1" dump.txt; then echo "  found $1"; else echo "  missing $1"; fi
}

# dump FILE PATTERN...: which of these its dump holds, and what could not be read.
dump() {
  echo "kafka-dump-log --cluster-metadata-decoder --files $1" | tools >dump.txt
  shift
  for pattern in "$@"; do
    found "$pattern"
  done
  grep -iE 'could not|error|exception|invalid' dump.txt || true
}

echo "log:"
dump "$log" LeaderChange KRaftVersion KRaftVoters '"FEATURE_LEVEL_RECORD".*"metadata.version","featureLevel":30' \
  '"REGISTER_BROKER_RECORD".*"brokerId":1,' '"BROKER_REGISTRATION_CHANGE_RECORD".*"brokerId":1,' \
  '"TOPIC_RECORD".*"name":"dumped",' '"CONFIG_RECORD".*"dumped","name":"retention.ms","value":"1000"' \
  '"PARTITION_RECORD".*"partitionId":1,.*"replicas":\[1\],"isr":\[1\]' \
  '"TOPIC_RECORD".*"name":"dumped-and-gone"' REMOVE_TOPIC_RECORD
echo "snapshot:"
dump "$snapshot" SnapshotHeader KRaftVersion KRaftVoters '"FEATURE_LEVEL_RECORD".*"metadata.version","featureLevel":30' \
  '"REGISTER_BROKER_RECORD".*"brokerId":1,.*"fenced":false' \
  '"TOPIC_RECORD".*"name":"dumped",' '"CONFIG_RECORD".*"dumped","name":"retention.ms","value":"1000"' \
  '"PARTITION_RECORD".*"partitionId":1,.*"replicas":\[1\],"isr":\[1\]' \
  '"TOPIC_RECORD".*"name":"dumped-and-gone"' SnapshotFooter
