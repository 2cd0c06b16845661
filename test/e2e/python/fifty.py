"""Asks for fifty restarts in one call by grpcio, and for the operation that it was, and prints both as one JSON document.

Usage: fifty.py ADDRESS DESCRIPTOR_SET, with the request as JSON on stdin.
"""

import json
import sys

import grpc
from client import Api

INSTANCES = "restart.dcs.v1.InstanceService"
OPERATIONS = "google.longrunning.Operations"


def main(address, descriptor_set):
    request = json.load(sys.stdin)
    with grpc.insecure_channel(address) as channel:
        api = Api(channel, descriptor_set)
        headers = {}

        def restart():
            stub, message = api.method(INSTANCES, "RestartInstances")(request)
            call = stub.future(message)
            headers.update(call.initial_metadata())
            call.result()

        failure = api.failure(restart)
        stub, message = api.method(OPERATIONS, "GetOperation")({"name": headers["operation-name"]})
        operation = stub(message)
        print(
            json.dumps(
                {
                    "failure": failure,
                    "items": [detail.type_url for detail in operation.error.details],
                    "wrong": api.failure(
                        lambda: api.unary(INSTANCES, "RestartInstances", request | {"instanceIds": ["/"] * 50})
                    ),
                }
            )
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
