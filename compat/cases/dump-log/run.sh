# Kafka's own decoder reads the log and a snapshot, of a cluster that has seen all the other cases.
# Which records there are is the same; how many depends on the moment.
# subjects: kafka yakt
# stages: stopped
. "$COMPAT/tools.sh"
cd "$RUN"
if [ "$SUBJECT" = yakt ]; then
  "$YAKT" export --log -c "$CONFIG" -o exported >exported.txt || exit 1
  "$YAKT" export --snapshot -c "$CONFIG" -o exported >>exported.txt || exit 1
  log=$(find exported -name '*.log' | sort | head -n 1)
  snapshot=$(find exported -name '*.checkpoint' | sort | tail -n 1)
else
  log=$(find controller -name '*.log' | sort | head -n 1)
  snapshot=""
fi

# types: which records a dump holds, by name, and whether any could not be read.
types() {
  tools >dump.txt
  grep -oE '"type":"[A-Z_]+"' dump.txt | sort -u
  grep -oE '^\| offset.*headerKeys: \[\] [A-Z]\w+' dump.txt | sed 's/.* //' | sort -u
  grep -iE 'could not|error|exception|invalid' dump.txt | head -n 5
  sed -nE 's/.*("type":"TOPIC_RECORD".*"name":"kcat").*/\1/p' dump.txt
}

echo "log:"
echo "kafka-dump-log --cluster-metadata-decoder --files $log" | types
if [ -n "$snapshot" ]; then
  echo "snapshot:"
  echo "kafka-dump-log --cluster-metadata-decoder --files $snapshot" | types
fi
