# One controller and one stock broker: boot, clients, configurations, tools, a clean stop and a restart.
# subjects: kafka mixed
# stages: offline
# seconds: 240
PYTHONPATH=$COMPAT exec "$PYTHON" "$COMPAT/cases/brokers-one/story.py"
