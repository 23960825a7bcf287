# The admin client of confluent-kafka, which is librdkafka's.
# subjects: kafka yakt mixed
# stages: placed live
"$PYTHON" "$COMPAT/cases/confluent/admin.py"
