import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { ResourceInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/health/v1/health_pb.ts";
import { serve, summary } from "../server/fixture.ts";

const NAME = "restart.kubernetes.v1.WorkloadService";

const clientOf = (url: string) => createClient(Health, createGrpcTransport({ baseUrl: url }));

describe("Health", () => {
  it("Check knows the server and each of its services", async () => {
    await using fixture = await serve();
    const client = clientOf(fixture.server.url);
    expect(await client.check({})).toMatchObject({ status: Status.SERVING });
    fixture.server.health.set(NAME, false);
    expect(await client.check({ service: NAME })).toMatchObject({ status: Status.NOT_SERVING });
    expect(await client.check({})).toMatchObject({ status: Status.SERVING });
  });

  it("Check refuses a service that is not served", async () => {
    await using fixture = await serve();
    const error = await clientOf(fixture.server.url)
      .check({ service: "other.Service" })
      .then(
        () => undefined,
        (reason) => ConnectError.from(reason),
      );
    expect(summary(error)).toEqual({
      code: "not_found",
      message: 'no service "other.Service" is served here',
      reason: "TARGET_NOT_FOUND",
      domain: "restartd",
      outcome: "not_applied",
    });
    expect(error?.findDetails(ResourceInfoSchema)[0]).toMatchObject({
      resourceType: "grpc.service",
      resourceName: "other.Service",
    });
  });

  it("List names all", async () => {
    await using fixture = await serve();
    fixture.server.health.set("", false);
    expect((await clientOf(fixture.server.url).list({})).statuses).toMatchObject({
      "": { status: Status.NOT_SERVING },
      [NAME]: { status: Status.SERVING },
    });
  });

  it("Watch tells the status at once and then each change", async () => {
    await using fixture = await serve();
    const { health } = fixture.server;
    const leave = new AbortController();
    const seen: Status[] = [];
    const watching = (async () => {
      for await (const { status } of clientOf(fixture.server.url).watch({ service: NAME }, leave)) {
        seen.push(status);
        health.set(NAME, true); // no change the first time
        if (seen.length === 1) health.set(NAME, false);
        if (seen.length === 3) leave.abort();
      }
    })();
    await expect(watching).rejects.toMatchObject({ code: Code.Canceled });
    expect(seen).toEqual([Status.SERVING, Status.NOT_SERVING, Status.SERVING]);
  });

  it("Watch of an unknown service says so, stays open, and tells when there is one", async () => {
    await using fixture = await serve();
    const leave = new AbortController();
    const seen: Status[] = [];
    const watching = (async () => {
      for await (const { status } of clientOf(fixture.server.url).watch({ service: "later" }, leave)) {
        seen.push(status);
        if (seen.length === 1) fixture.server.health.set("later", true);
        else leave.abort();
      }
    })();
    await expect(watching).rejects.toMatchObject({ code: Code.Canceled });
    expect(seen).toEqual([Status.SERVICE_UNKNOWN, Status.SERVING]);
  });

  it("says NOT_SERVING for good once it is stopped", async () => {
    await using fixture = await serve();
    fixture.server.health.stop();
    fixture.server.health.set(NAME, true);
    expect(await clientOf(fixture.server.url).check({ service: NAME })).toMatchObject({ status: Status.NOT_SERVING });
  });
});
