# Formatting, as kafka-storage and as yakt do it: the same options, the same lines, the same files.
# subjects: kafka yakt
# stages: offline
. "$COMPAT/tools.sh"
cd "$RUN"

properties() {
  cat <<EOF
process.roles=controller
node.id=3000
controller.listener.names=CONTROLLER
listeners=CONTROLLER://127.0.0.1:9093
log.dirs=$RUN/a,$RUN/b
EOF
}
(properties; echo "controller.quorum.bootstrap.servers=127.0.0.1:9093") >dynamic.properties
(properties; echo "controller.quorum.voters=3000@127.0.0.1:9093,3001@127.0.0.1:9094") >static.properties

# storage ARGUMENTS: prints the command, what it says, and its status. Errors are worded differently
# and go to standard error.
storage() {
  echo "\$ $*"
  if [ "$SUBJECT" = kafka ]; then $JAVA kafka.tools.StorageTool "$@"; else "$YAKT" "$@"; fi >out.txt 2>err.txt
  status=$?
  # Kafka also prints the records; they are compared below.
  sed -e '/^$/d' -e '/^Bootstrap metadata: /d' out.txt
  [ "$status" = 0 ] || echo "(status $status)"
}

# contents: the files, decoded by Kafka's own decoder, without positions and times.
contents() {
  for file in $(find a b -type f | sort); do
    case $file in
      *.checkpoint)
        echo "== $file"
        echo "kafka-dump-log --cluster-metadata-decoder --files $file" | tools | sed -nE 's/^\| offset: ([0-9]+).*headerKeys: \[\] /\1 /p' |
          sed -E 's/"(salt|storedKey|serverKey)":"[^"]*"/"\1":BYTES/g' ;;
      */meta.properties)
        echo "== $file"
        sed 2d "$file" ;;
      *) echo "== $file" ;;
    esac
  done
}

storage info -c dynamic.properties
storage format -t abc -c dynamic.properties
storage format -t abc -c dynamic.properties --standalone
storage format -t abc -c dynamic.properties --standalone
storage format -t abc -c dynamic.properties --standalone --ignore-formatted
storage info -c dynamic.properties
contents
rm -r b
storage info -c dynamic.properties
storage format -t other -c dynamic.properties --standalone --ignore-formatted
storage format -t abc -c dynamic.properties --standalone --ignore-formatted
rm -r a b
storage format -t abc -c dynamic.properties -N -r 4.0 -f group.version=0 -S 'SCRAM-SHA-512=[name=alice,password=secret,iterations=8192]'
contents
rm -r a b
storage format -t abc -c dynamic.properties --initial-controllers 3000@127.0.0.1:9093:JEXY6aqzQY-32P5TStzaFg,3001@127.0.0.1:9094:MvDxzVmcRsaTz33bUuRU6A
contents
rm -r a b
storage format -t abc -c static.properties --standalone
storage format -t abc -c static.properties -r 9.9
storage format -t abc -c static.properties -f foo=1
storage format -t abc -c static.properties -f kraft.version=1
storage format -t abc -c static.properties -r 3.9 -f eligible.leader.replicas.version=1
storage format -t abc -c static.properties
contents
