# Formatting, as kafka-storage and as yakt do it: the same options, the same lines, the same files.
# subjects: kafka yakt
# stages: offline
. "$COMPAT/tools.sh"
cd "$RUN"

# properties NAME DIRECTORIES LINE: a controller's file.
properties() {
  cat >"$1.properties" <<EOF
process.roles=controller
node.id=3000
controller.listener.names=CONTROLLER
listeners=CONTROLLER://127.0.0.1:9093
log.dirs=$(echo "$2" | sed "s|\([a-z0-9]*\)|$RUN/\1|g")
$3
EOF
}
dynamic=controller.quorum.bootstrap.servers=127.0.0.1:9093
static=controller.quorum.voters=3000@127.0.0.1:9093,3001@127.0.0.1:9094
properties alone a1,a2 $dynamic
properties alone-wider a1,a2,a3 $dynamic
properties joining b1,b2 $dynamic
properties founding c1,c2 $dynamic
properties static d1,d2 $static

commands() {
  cat <<EOF
info -c alone.properties
format -t abc -c alone.properties
format -t abc -c alone.properties --standalone --no-initial-controllers
format -t abc -c alone.properties --standalone
format -t abc -c alone.properties --standalone
format -t abc -c alone.properties --standalone --ignore-formatted
info -c alone.properties
info -c alone-wider.properties
format -t other -c alone-wider.properties --standalone --ignore-formatted
format -t abc -c alone-wider.properties --standalone --ignore-formatted
format -t abc -c joining.properties -N -r 4.0 -f group.version=0 -S 'SCRAM-SHA-512=[name=alice,password=secret,iterations=8192]'
format -t abc -c founding.properties -I 3000@127.0.0.1:9093:JEXY6aqzQY-32P5TStzaFg
format -t abc -c static.properties --standalone
format -t abc -c static.properties -r 9.9
format -t abc -c static.properties -f foo=1
format -t abc -c static.properties -f kraft.version=1
format -t abc -c static.properties -r 3.9 -f eligible.leader.replicas.version=1
format -t abc -c static.properties -S alice
format -t abc -c static.properties
EOF
}

# run_commands: each command, what it says, and its status.
run_commands() {
  if [ "$SUBJECT" = kafka ]; then
    commands | sed 's/^/kafka-storage /' | tools
    return
  fi
  commands | while read -r command; do
    echo "\$ kafka-storage $command"
    eval "\"$YAKT\" $command" 2>&1 || echo "(status $?)"
  done
}

# in_order: Kafka formats its directories in the order of a hash over their paths, YAKt in the order
# given; here they are sorted.
in_order() {
  awk '
    function flush_group() { if (group != "") { printf "%s", group | "sort"; close("sort"); group = "" } }
    /^Formatting / { group = group $0 "\n"; next }
    { flush_group(); print; fflush() }
    END { flush_group() }'
}

# What an error says is worded differently, so only its status counts. Kafka also prints the records;
# they are compared below.
run_commands | awk '
  /^\$ / { print text; text = $0; keep = /^\$ kafka-storage info/; next }
  /^\(status / && !keep { sub(/\n.*/, "", text) }
  /^$|^Bootstrap metadata: / { next }
  { text = text "\n" $0 }
  END { print text }' |
  in_order

# The files, decoded by Kafka's own decoder, without positions and times.
find ./?? -type f | sort | while read -r file; do
  case $file in
    *.checkpoint) echo "kafka-dump-log --cluster-metadata-decoder --files $file" ;;
    *) echo "== $file" >&2; [ "$(basename "$file")" != meta.properties ] || sed 2d "$file" >&2 ;;
  esac
done 2>others.txt | tools |
  sed -nE -e 's/^\$ .* (.*)/== \1/p' -e 's/^\| offset: ([0-9]+).*headerKeys: \[\] /\1 /p' |
  sed -E 's/"(salt|storedKey|serverKey)":"[^"]*"/"\1":BYTES/g'
cat others.txt
