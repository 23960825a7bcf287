# Kafka's command line tools with --bootstrap-server.
# subjects: kafka yakt mixed
# stages: live
. "$COMPAT/tools.sh"
at="--bootstrap-server $BOOTSTRAP"
tools <<EOF
kafka-topics $at --create --topic tools --partitions 2 --replication-factor 1 --config retention.ms=3600000
kafka-topics $at --create --topic tools --partitions 2
kafka-topics $at --create --topic tools-default
kafka-topics $at --create --topic tools-by-hand --replica-assignment 1,1
kafka-topics $at --create --topic tools-wide --partitions 1 --replication-factor 2
kafka-topics $at --create --topic tools-wrong --config retention.ms=soon
kafka-topics $at --create --topic tools-wrong --config no.such.config=1
sleep 300
kafka-topics $at --describe --topic tools
kafka-topics $at --describe --topic missing
kafka-topics $at --alter --topic tools --partitions 3
sleep 300
kafka-topics $at --alter --topic tools --partitions 3
kafka-topics $at --alter --topic tools --partitions 2
sleep 300
kafka-topics $at --describe --topic tools
kafka-topics $at --describe --unavailable-partitions
kafka-configs $at --describe --topic tools
kafka-configs $at --alter --topic tools --add-config max.message.bytes=2000,cleanup.policy=[compact,delete]
sleep 300
kafka-configs $at --describe --topic tools
kafka-configs $at --alter --topic tools --delete-config retention.ms,max.message.bytes
sleep 300
kafka-configs $at --describe --topic tools
kafka-configs $at --alter --topic tools --add-config retention.ms=soon
kafka-configs $at --alter --topic missing --add-config retention.ms=1
kafka-topics $at --delete --topic tools
sleep 300
kafka-topics $at --delete --topic tools
kafka-topics $at --delete --topic tools-default
kafka-topics $at --delete --topic tools-by-hand
kafka-cluster cluster-id $at
kafka-cluster list-endpoints $at
kafka-cluster unregister --id 99 $at
kafka-features $at describe
EOF
