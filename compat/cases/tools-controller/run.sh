# Kafka's command line tools with --bootstrap-controller.
# subjects: kafka yakt mixed
# stages: live
. "$COMPAT/tools.sh"
at="--bootstrap-controller $CONTROLLER"
# The stand-in for a broker does not fetch, so it is no observer. Kafka's sentence about a voter that
# is not there shows Java objects.
tools <<EOF | sed -e '/^CurrentObservers:/d' -e '/Observer$/d' -e 's/\(VoterNotFoundException:\) .*/\1 SENTENCE/'
kafka-cluster cluster-id $at
kafka-cluster list-endpoints $at
kafka-cluster unregister --id 99 $at
kafka-features $at describe
kafka-metadata-quorum $at describe --status
kafka-metadata-quorum $at describe --replication
kafka-configs $at --describe --entity-type brokers --entity-default
kafka-configs $at --alter --entity-type brokers --entity-default --add-config log.cleaner.threads=2
kafka-configs $at --alter --entity-type brokers --entity-name 1 --add-config log.cleaner.threads=3
kafka-configs $at --describe --entity-type brokers --entity-default
kafka-configs $at --describe --entity-type brokers --entity-name 1
kafka-configs $at --alter --entity-type brokers --entity-name 1 --delete-config log.cleaner.threads
kafka-configs $at --alter --entity-type brokers --entity-default --delete-config log.cleaner.threads
kafka-configs $at --describe --entity-type brokers --entity-default
kafka-configs $at --alter --entity-type brokers --entity-default --add-config log.cleaner.threads=many
kafka-metadata-quorum $at remove-controller --controller-id 9 --controller-directory-id AAAAAAAAAAAAAAAAAAAACQ
EOF
