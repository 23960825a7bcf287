# The admin client of confluent-kafka, which is librdkafka's.
# subjects: kafka yakt
# stages: placed live
"$PYTHON" "$COMPAT/cases/confluent/admin.py"
