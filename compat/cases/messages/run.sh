# An Apache broker carries messages: idempotent and transactional producers, consumer groups.
# subjects: kafka mixed
# stages: live
"$PYTHON" "$COMPAT/cases/messages/messages.py" || exit 1
kcat -b "$BOOTSTRAP" -t messages -C -o beginning -e -q | sort | head -n 3
