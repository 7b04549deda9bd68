"""The service broker: how many catalogs and bindings a second it gives out over its Unix socket.

Each user may ask 100 times at once and then 50 times a second, so what can be measured is the burst.
"""

import http.client
import json
import subprocess
import time
from statistics import median

from bed import Failed, UnixConnection, await_

VERSION = {"X-Broker-API-Version": "2.17", "Content-Type": "application/json"}
BURST = 90
REFILL = 2.2  # Seconds, after which all of a burst is there again.


class Client:
    """A platform that speaks the Open Service Broker API over one connection, or another once that was idle for too long."""

    def __init__(self, path):
        self.path = path
        self.connection = UnixConnection(path)

    def call(self, method, path, body=None):
        try:
            return self.ask(method, path, body)
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
            self.connection = UnixConnection(self.path)
            return self.ask(method, path, body)

    def ask(self, method, path, body):
        self.connection.request(method, path, json.dumps(body) if body is not None else None, VERSION)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")


def broker(bench):
    """Catalogs of 100 applications with curl over one connection; and bindings until they have their credentials."""
    bench.plane.landscape(100)
    bench.plane.call("set", "--answering", "promptly")
    agent = bench.agent("broker", more="[broker]\nenabled = true\n")
    agent.start()
    agent.pair(bench.plane, "broker")
    agent.published()
    path = f"{agent.folder}/run/broker.sock"
    client = Client(path)

    def first():
        time.sleep(0.05)
        status, found = client.call("GET", "/v2/catalog")
        return found if status == 200 else None

    catalog = await_("there was a catalog", first, agent.process, 60)
    row = {"services": len(catalog["services"]), "burst": BURST}
    rates = []
    for _ in range(3 if bench.quick else 7):
        time.sleep(REFILL)
        began = time.monotonic()
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--fail", "--unix-socket", path, "--header",
             "X-Broker-API-Version: 2.17", "--write-out", "%{size_download}\n", "--output", "/dev/null",
             # The same URL again and again, over one connection.
             f"http://localhost/v2/catalog#[1-{BURST}]"],
            check=True, capture_output=True, text=True)
        rates.append(BURST / (time.monotonic() - began))
        sizes = done.stdout.split()
        if len(sizes) != BURST:
            raise Failed(f"curl fetched {len(sizes)} catalogs, not {BURST}")
    row |= {"catalog_bytes": int(sizes[0]), "catalogs_per_s": median(rates)}
    row |= binds(client, catalog, [2, 3, 4] if bench.quick else [2, 3, 4, 5, 6])
    agent.remove()
    bench.plane.call("set", "--answering", "by-hand")
    return row


def binds(client, catalog, rounds):
    """Bindings, asked for one after the other, until the last has its credentials."""
    service = catalog["services"][0]
    of = {"service_id": service["id"], "plan_id": service["plans"][0]["id"]}
    accepted, granted, count = [], [], BURST // 2
    for turn in rounds:
        time.sleep(REFILL)
        instance = f"/v2/service_instances/bench-{turn}"
        status, answer = client.call("PUT", f"{instance}?accepts_incomplete=true", of | {
            "organization_guid": "bench", "space_guid": "bench"})
        if status not in (200, 201):
            raise Failed(f"no instance was made: {status} {answer}")
        began = time.monotonic()
        for number in range(count):
            last = f"{instance}/service_bindings/{turn}-{number}"
            status, answer = client.call("PUT", f"{last}?accepts_incomplete=true", of)
            if status not in (200, 201, 202):
                raise Failed(f"no binding was made: {status} {answer}")
        accepted.append(count / (time.monotonic() - began))

        def there():
            time.sleep(0.05)
            answer = client.call("GET", f"{last}/last_operation")[1]
            if answer.get("state") == "failed":
                raise Failed(f"a binding failed: {answer}")
            return answer.get("state") == "succeeded"

        await_("the last binding had its credentials", there, limit=120)
        granted.append(count / (time.monotonic() - began))
    return {"bindings": count, "binds_accepted_per_s": median(accepted), "binds_per_s": median(granted)}
