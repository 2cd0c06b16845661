"""Calls restartd by grpcio and prints what came of it, as one JSON document.

Usage: client.py ADDRESS DESCRIPTOR_SET, where DESCRIPTOR_SET is what `protoc --descriptor_set_out --include_imports` writes. No code is
generated: messages are made of their descriptors.
"""

import json
import sys
import threading

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_status import rpc_status

WORKLOADS = "restart.kubernetes.v1.WorkloadService"
HEALTH = "grpc.health.v1.Health"
WEB = {
    "cluster": "sandbox",
    "group": "apps",
    "version": "v1",
    "resource": "deployments",
    "namespace": "shop",
    "name": "web",
}


class Api:
    """The services of a descriptor set, callable by the names of their rpcs."""

    def __init__(self, channel, descriptor_set):
        self.channel = channel
        self.pool = descriptor_pool.DescriptorPool()
        with open(descriptor_set, "rb") as file:
            for proto in descriptor_pb2.FileDescriptorSet.FromString(file.read()).file:
                self.pool.Add(proto)

    def method(self, service, name):
        method = self.pool.FindServiceByName(service).methods_by_name[name]
        kind = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        request = message_factory.GetMessageClass(method.input_type)
        answer = message_factory.GetMessageClass(method.output_type)
        stub = kind(
            f"/{service}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=answer.FromString,
        )
        return lambda fields: (stub, json_format.ParseDict(fields, request()))

    def unary(self, service, name, fields, **options):
        stub, request = self.method(service, name)(fields)
        answer, call = stub.with_call(request, **options)
        return as_json(answer), dict(call.initial_metadata())

    def stream(self, service, name, fields, **options):
        stub, request = self.method(service, name)(fields)
        return stub(request, **options)

    def failure(self, call):
        """What a call ended with: its code, message and details."""
        try:
            call()
        except grpc.RpcError as error:
            status = rpc_status.from_call(error)
            details = [
                json_format.MessageToDict(detail, descriptor_pool=self.pool)
                for detail in (status.details if status else [])
            ]
            return {"code": error.code().name, "message": error.details(), "details": details}
        return None


def as_json(message):
    return json_format.MessageToDict(message)


def watch(api):
    return [as_json(message) for message in api.stream(WORKLOADS, "WatchRollout", WEB)]


def leave(api):
    """Reads the first message of a stream that goes on, and goes."""
    stream = api.stream(HEALTH, "Watch", {})
    first = as_json(next(stream))
    stream.cancel()
    return {"first": first, "ended": api.failure(lambda: next(stream))}


def many(api, count):
    """Calls from many threads at once on the one channel."""
    names = []

    def call():
        answer, _ = api.unary(WORKLOADS, "GetRollout", WEB)
        names.append(answer["name"])

    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(names)


def main(address, descriptor_set):
    with grpc.insecure_channel(address) as channel:
        api = Api(channel, descriptor_set)

        def restart(fields, **options):
            return api.unary(WORKLOADS, "Restart", fields, **options)

        legacy, headers = restart(WEB | {"name": "legacy"})
        print(
            json.dumps(
                {
                    "restart": restart(WEB)[0],
                    "watch": watch(api),
                    "warned": {"answer": legacy, "warning": headers.get("restart-warning")},
                    "rollout": api.unary(WORKLOADS, "GetRollout", WEB)[0],
                    "clusters": api.unary(WORKLOADS, "ListClusters", {})[0],
                    "paused": api.failure(lambda: restart(WEB | {"name": "checkout"})),
                    "invalid": api.failure(lambda: restart({"resource": "deployments/scale"})),
                    "late": api.failure(lambda: restart(WEB, timeout=0.00001)),
                    "compressed": restart(WEB | {"validateOnly": True}, compression=grpc.Compression.Gzip)[0],
                    "health": api.unary(HEALTH, "Check", {"service": WORKLOADS})[0],
                    "unknown": api.failure(lambda: api.unary(HEALTH, "Check", {"service": "nobody"})),
                    "statuses": api.unary(HEALTH, "List", {})[0],
                    "left": leave(api),
                    "many": many(api, 50),
                }
            )
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
