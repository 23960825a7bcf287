# The admin client of kafka-python.
# subjects: kafka yakt mixed
# stages: placed live
"$PYTHON" "$COMPAT/cases/kafka-python/admin.py"
