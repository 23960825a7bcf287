# One truth behind two doors: what comes in by one is seen by the other.
# subjects: yakt
# stages: placed live
. "$COMPAT/tools.sh"

# http METHOD PATH [JSON]: the answer on one line, ids and times aside.
http() {
  echo "$1 /$2"
  python3 "$COMPAT/request.py" "$1" "http://$HTTP/$2" ${3:+"$3"} | sed -E \
    -e 's/"[0-9a-fA-F-]{32,36}"/"ID"/g' -e 's/("timestamp": ?)[0-9.]+/\1TIME/g'
}

# record NAME FIELDS: the envelope of the original endpoints.
record() {
  echo "{\"type\": \"metadata\", \"name\": \"$1\", \"fields\": $2}"
}

name=by-http-$STAGE
http POST create_topic "$(record TopicRecord "{\"name\": \"$name\"}")"
topic=$(python3 "$COMPAT/request.py" POST "http://$HTTP/get_topic_by_name" "{\"topic_name\": \"$name\"}" |
  sed -E 's/.*"topicUUID": ?"([^"]*)".*/\1/')
http POST create_partition "$(record PartitionRecord \
  "{\"partitionId\": 0, \"topicUUID\": \"$topic\", \"replicas\": [1], \"ISR\": [1], \"leader\": 1}")"
kcat -L -b "$BOOTSTRAP" -t "$name" | sed -n '/topic/,$p'

tools <<EOF
kafka-topics --bootstrap-server $BOOTSTRAP --create --topic by-frame-$STAGE
EOF
http POST get_topic_by_name "{\"topic_name\": \"by-frame-$STAGE\"}"
http POST client_mgmt '{"timestamp": 0}' | grep -oE '"(TopicRecord|PartitionRecord):by-[^"]*"' | sort
http GET v1/topics | grep -oE '"name": ?"by-[^"]*"' | sort
# Who asks for what changed since a moment ago is told of deletions.
before=$(date +%s)
tools <<EOF
kafka-topics --bootstrap-server $BOOTSTRAP --delete --topic by-frame-$STAGE
kafka-topics --bootstrap-server $BOOTSTRAP --delete --topic $name
EOF
http POST client_mgmt "{\"timestamp\": $before}" | tr '{' '\n' | grep deleted |
  grep -oE "\"name\": ?\"[a-z-]*$STAGE\"" | sort
