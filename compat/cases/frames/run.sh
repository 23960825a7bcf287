# A broker made of hand-written frames: registration, heartbeats, producer ids, farewell.
# subjects: kafka yakt mixed
# stages: empty live
python3 "$COMPAT/frames.py" story --controller "$CONTROLLER" --id 77
