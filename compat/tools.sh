# What the cases that run Kafka's tools share. Sourced by them.

# tools: runs the commands on standard input, one a line, all in one JVM, and prints each with its
# output. What counts up or depends on the moment gets a name.
tools() {
  $JAVA Tools 2>&1 | sed -E \
    -e 's/(Epoch: )[0-9]+$/\1NUMBER/' \
    -e 's/^((LeaderEpoch|HighWatermark|MaxFollowerLag|MaxFollowerLagTimeMs): +)-?[0-9]+/\1NUMBER/' \
    -e 's/^([0-9]+[[:space:]]+[[:graph:]]+)[[:space:]]+(-?[0-9]+[[:space:]]+){4}(Leader|Follower|Observer)/\1 NUMBERS \3/' \
    -e 's/[[:space:]]+$//'
}
