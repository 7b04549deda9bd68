"""What an agent asked, asked again with curl: the same requests, with the same certificate, over one connection."""

import json
import os
import subprocess
import time


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Replay:
    """The requests of one read, as a configuration for curl."""

    def __init__(self, folder, plane, agent, requests):
        os.makedirs(folder)
        self.config = f"{folder}/curl.conf"
        self.count = len(requests)
        certificate, key = agent.identity()
        blocks = []
        for number, request in enumerate(requests):
            body = f"{folder}/{number}.json"
            with open(body, "w", encoding="utf-8") as file:
                asked = {name: request[key] for name, key in
                         [("operationName", "operation"), ("query", "query"), ("variables", "variables")]}
                json.dump(asked, file)
            options = [
                f"url = {quoted(plane.overview['directorURL'])}", f"cacert = {quoted(plane.ca)}",
                f"cert = {quoted(certificate)}", f"key = {quoted(key)}", f"data-binary = {quoted('@' + body)}",
                'header = "Content-Type: application/json"', "http2", "compressed", 'noproxy = "*"', "fail",
                'output = "/dev/null"', 'write-out = "%{size_download} %{time_appconnect}\\n"',
            ]
            if request["tenant"]:
                options.append(f"header = {quoted('Tenant: ' + request['tenant'])}")
            blocks.append("\n".join(options))
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("silent\nshow-error\n" + "\nnext\n".join(blocks) + "\n")

    def run(self):
        """Fetches everything; tells the seconds, those of them until the connection stood, and the bytes on the wire."""
        began = time.monotonic()
        done = subprocess.run(["curl", "--config", self.config], check=True, capture_output=True, text=True)
        took = time.monotonic() - began
        lines = [line.split() for line in done.stdout.splitlines()]
        return took, float(lines[0][1]), sum(int(size) for size, _ in lines)
