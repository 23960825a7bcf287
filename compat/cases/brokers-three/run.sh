# Three controllers and three stock brokers under load, while controllers and brokers are killed and stopped.
# subjects: kafka mixed
# stages: offline
# seconds: 900
# long: yes
PYTHONPATH=$COMPAT exec "$PYTHON" "$COMPAT/cases/brokers-three/story.py"
