"""Users of a server, by locust: each asks for a picture, waits a little, asks for several, and looks at health.

resnets serve MODEL --port 8000 &
PICTURES=camvid/train/images locust -f benchmarks/serve_locust.py --headless -u 16 -r 4 -t 60s -H http://127.0.0.1:8000
"""

import os
import random
from pathlib import Path

from locust import HttpUser, between, task

PICTURES = [path.read_bytes() for path in sorted(Path(os.environ["PICTURES"]).rglob("*")) if path.is_file()][:200]
BUSY = (429, 503)  # right answers of a server with all that it can do


class User(HttpUser):
    wait_time = between(0.05, 0.2)

    def ask(self, files, name, num):
        with self.client.post("/predict?topk=3", files=files, name=name, catch_response=True) as answer:
            if answer.status_code in BUSY:
                answer.success()
            elif answer.status_code != 200 or len(answer.json()["rows"]) != num:
                answer.failure(f"{answer.status_code}: {answer.text[:200]}")

    @task(8)
    def one(self):
        self.ask({"file": ("a.jpg", random.choice(PICTURES))}, "one picture", 1)

    @task(2)
    def many(self):
        self.ask([(str(n), (f"{n}.jpg", random.choice(PICTURES))) for n in range(4)], "four pictures", 4)

    @task(1)
    def health(self):
        self.client.get("/v2/health/ready")
        self.client.get("/metrics")
