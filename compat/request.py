"""One HTTP request: request.py METHOD URL [JSON]. Prints the body; a refusal with its status in front."""

import sys
import urllib.error
import urllib.request

method, url, *body = sys.argv[1:]
request = urllib.request.Request(url, method=method, data=body[0].encode() if body else None)
request.add_header("Content-Type", "application/json")
try:
    with urllib.request.urlopen(request, timeout=20) as answer:
        print(answer.read().decode().strip())
except urllib.error.HTTPError as refusal:
    print(refusal.code, refusal.read().decode().strip())
