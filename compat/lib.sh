# Starting and stopping what the cases talk to. Sourced by compat/run; plain sh.
#
# A subject is a controller with node id 3000 and, from a certain stage on, one broker with id 1:
#   yakt   a YAKt node; its broker is compat/frames.py, which says that it can be reached where YAKt
#          listens, so that a client that follows it comes back to YAKt
#   kafka  an Apache Kafka controller; its broker is an Apache Kafka broker
#   mixed  a YAKt node; its broker is an Apache Kafka broker
# The cases find them by these variables:
#   CONTROLLER  host:port of the controller listener
#   BOOTSTRAP   host:port where clients begin: the broker's listener; with yakt the same as CONTROLLER
#   HTTP        host:port of YAKt's HTTP listener
#   RUN         directory of this run: data, logs and properties files

compat=$(cd "$(dirname "$0")" && pwd)
target=$(cd "$compat/.." && pwd)/target/compat
export CLASSPATH="$target/classes:$target/libs/*"
python="$target/venv/bin/python"
# Short runs gain nothing from the optimizing compiler.
java="java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -Dlog4j2.configurationFile=$compat/log4j2.properties"
export JAVA="$java" PYTHON="$python" COMPAT="$compat"

processes=""

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# spawn NAME COMMAND...: runs it in the background, its output in $RUN/NAME.log; its pid is in $spawned.
spawn() {
  name=$1
  shift
  "$@" >"$RUN/$name.log" 2>&1 </dev/null &
  spawned=$!
  processes="$processes $spawned"
}

# stop PID: asks the process to end and waits for it; after ten seconds it is ended.
stop() {
  kill "$1" 2>/dev/null || return 0
  waited=0
  while kill -0 "$1" 2>/dev/null && [ "$waited" -lt 100 ]; do
    sleep 0.1
    waited=$((waited + 1))
  done
  kill -9 "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

stop_all() {
  for process in $processes; do
    stop "$process"
  done
  processes=""
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
  tries=$(($1 * 10))
  what=$2
  shift 2
  while ! "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    if [ "$tries" -le 0 ]; then
      echo "compat: $what does not come up; see $RUN" >&2
      tail -n 20 "$RUN"/*.log >&2
      return 1
    fi
    sleep 0.1
  done
}

# start_subject NAME: the controller alone, with a new cluster.
start_subject() {
  SUBJECT=$1
  RUN=$target/run/$SUBJECT
  rm -rf "$RUN"
  mkdir -p "$RUN"
  controller_port=$(free_port)
  CONTROLLER=127.0.0.1:$controller_port
  CONFIG=$RUN/controller.properties
  DATA=$RUN/controller
  cat >"$CONFIG" <<EOF
process.roles=controller
node.id=3000
controller.quorum.bootstrap.servers=$CONTROLLER
controller.listener.names=CONTROLLER
listeners=CONTROLLER://$CONTROLLER
log.dirs=$DATA
EOF
  CLUSTER_ID=compat-$(date +%s)
  "start_$SUBJECT"
  export SUBJECT RUN CONTROLLER BOOTSTRAP HTTP CONFIG DATA CLUSTER_ID
  wait_for 20 "$SUBJECT's controller" python3 "$compat/frames.py" cluster-id --controller "$CONTROLLER"
}

start_yakt() {
  BOOTSTRAP=$CONTROLLER
  HTTP=127.0.0.1:$(free_port)
  echo "yakt.http.listeners=http://$HTTP" >>"$CONFIG"
  "$YAKT" format -t "$CLUSTER_ID" -c "$CONFIG" --standalone >"$RUN/format.log"
  spawn controller "$YAKT" run "$CONFIG"
  controller_process=$spawned
}

start_mixed() {
  start_yakt
}

start_kafka() {
  HTTP=""
  # For the case dump-log, which reads a snapshot.
  echo "metadata.log.max.record.bytes.between.snapshots=200" >>"$CONFIG"
  $java kafka.tools.StorageTool format -t "$CLUSTER_ID" -c "$CONFIG" --standalone >"$RUN/format.log"
  spawn controller $java -Xmx256m kafka.Kafka "$CONFIG"
  controller_process=$spawned
}

# start_broker: broker 1, unfenced when this returns.
start_broker() {
  "start_broker_of_$SUBJECT"
}

start_broker_of_yakt() {
  spawn broker python3 "$compat/frames.py" broker --controller "$CONTROLLER" --id 1 --advertise "$CONTROLLER"
  wait_for 20 "the broker of frames.py" grep -q unfenced "$RUN/broker.log"
}

start_broker_of_mixed() {
  start_broker_of_kafka
}

start_broker_of_kafka() {
  BOOTSTRAP=127.0.0.1:$(free_port)
  cat >"$RUN/broker.properties" <<EOF
process.roles=broker
node.id=1
controller.quorum.bootstrap.servers=$CONTROLLER
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://$BOOTSTRAP
log.dirs=$RUN/broker
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=10485760
EOF
  $java kafka.tools.StorageTool format -t "$CLUSTER_ID" -c "$RUN/broker.properties" >>"$RUN/format.log"
  spawn broker $java -Xmx256m kafka.Kafka "$RUN/broker.properties"
  wait_for 30 "the Apache broker" kcat -L -b "$BOOTSTRAP" -m 1
  # It answers before it is unfenced; then it is in its own list.
  wait_for 30 "the Apache broker's unfencing" sh -c "kcat -L -b $BOOTSTRAP -m 1 | grep -q 'broker 1 at'"
}

# place_broker: YAKt's broker 1 is registered over HTTP, without an address: replicas can be placed on
# it, but nobody can connect to it.
place_broker() {
  placed=$(python3 "$compat/request.py" POST "http://$HTTP/register_broker" \
    '{"type": "metadata", "name": "RegisterBrokerRecord", "fields": {"brokerId": 1}}') &&
    echo "$placed" | grep -q internalUUID
}

unplace_broker() {
  python3 "$compat/request.py" DELETE "http://$HTTP/unregister_broker" \
    "{\"brokerId\": \"$(echo "$placed" | sed -E 's/.*"internalUUID": *"([^"]+)".*/\1/')\"}" >/dev/null
}
