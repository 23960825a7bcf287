# A broker made of hand-written frames: registration, heartbeats, producer ids, farewell.
# subjects: kafka yakt
# stages: empty live
python3 "$COMPAT/frames.py" story --controller "$CONTROLLER" --id 77
