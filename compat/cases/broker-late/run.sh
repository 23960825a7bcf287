# Brokers with an empty directory, or one that slept, begin with a snapshot, which Kafka's tools read too.
# subjects: kafka mixed
# stages: offline
# seconds: 400
# long: yes
PYTHONPATH=$COMPAT exec "$PYTHON" "$COMPAT/cases/broker-late/story.py"
