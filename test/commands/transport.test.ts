import { once } from "node:events";
import { createServer as createHttp1, type Server } from "node:http";
import { createServer as createHttp2, createSecureServer } from "node:http2";
import { createServer as createHttps } from "node:https";
import { type AddressInfo, connect, createServer as createTcp, type Server as TcpServer } from "node:net";
import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { type ConnectRouter, createClient } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { type Operation, OperationSchema } from "../../gen/google/longrunning/operations_pb.ts";
import { Rollout_State } from "../../gen/restart/kubernetes/v1/workload_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import {
  RestartMetadata_Outcome as Outcome,
  RestartMetadataSchema,
  RestartMetadata_State as State,
} from "../../gen/restart/operation/v1/operation_pb.ts";
import { OperationService } from "../../gen/restart/operation/v1/operation_service_pb.ts";
import { ServerService } from "../../gen/restart/server/v1/server_service_pb.ts";
import { runClient } from "../../src/commands/index.ts";
import { openChannel } from "../../src/commands/transport.ts";
import { createAuthority } from "../cluster/certificates.ts";
import { temporaryFolder } from "../support/folder.ts";

/** A server on loopback, of whatever kind. */
async function listen(server: TcpServer | Server) {
  let connections = 0;
  server.on("connection", () => connections++);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}

/** Answers GetServer, behind a prefix. */
const getServer = connectNodeAdapter({
  requestPathPrefix: "/behind",
  routes: (router) => router.service(ServerService, { getServer: () => ({ version: "restartd" }) }),
});

describe("many streams", () => {
  const authority = createAuthority("restartd test");
  const certified = authority.issue({ commonName: "server", usage: "server", hosts: ["127.0.0.1"] });

  it.each([
    ["HTTP/2 in clear", "http", () => createHttp2(getServer), 1],
    ["HTTP/1.1 in clear", "http", () => createHttp1(getServer), 2],
    ["HTTP/2 over TLS", "https", () => createSecureServer(certified, getServer), 1],
    ["HTTP/1.1 over TLS", "https", () => createHttps(certified, getServer), 2],
  ] as const)("go over %s, whatever else is not spoken", async (_, scheme, create, connections) => {
    await using folder = await temporaryFolder();
    const ca = await folder.write("ca.pem", authority.cert);
    await using server = await listen(create() as unknown as TcpServer);
    const address = `${scheme}://${server.host}/behind`;
    const channel = openChannel({ address, token: "", ca, many: true });
    const client = createClient(ServerService, channel.transport);
    expect(await client.getServer({})).toMatchObject({ version: "restartd" });
    expect(await client.getServer({})).toMatchObject({ version: "restartd" });
    // Where HTTP/2 is not spoken, one was made to find that out.
    expect(server.connections()).toBe(connections);
    channel.close();
  });

  it("go over HTTP/1.1 where nothing answers the preface of HTTP/2", async () => {
    await using http1 = await listen(createHttp1(getServer));
    const port = Number(http1.host.split(":")[1]);
    await using mute = await listen(
      createTcp((socket) => {
        socket.on("error", () => {}); // the client gives it up
        socket.once("data", (first) => {
          if (first.toString("latin1").startsWith("PRI ")) return;
          const upstream = connect(port, "127.0.0.1");
          upstream.write(first);
          socket.pipe(upstream).pipe(socket);
        });
      }),
    );
    const channel = openChannel({ address: `http://${mute.host}/behind`, token: "", ca: undefined, many: true });
    expect(await createClient(ServerService, channel.transport).getServer({})).toMatchObject({ version: "restartd" });
    channel.close();
  });

  it("say who calls", async () => {
    const seen: (string | null)[] = [];
    const routes = (router: ConnectRouter) =>
      router.service(ServerService, {
        getServer: (_, { requestHeader }) => {
          seen.push(requestHeader.get("authorization"));
          return {};
        },
      });
    await using server = await listen(createHttp2(connectNodeAdapter({ routes })) as unknown as TcpServer);
    const channel = openChannel({ address: `http://${server.host}`, token: "secret", ca: undefined, many: true });
    await createClient(ServerService, channel.transport).getServer({});
    expect(seen.at(-1)).toBe("Bearer secret");
    channel.close();
  });

  it("are sixteen at most, an operation's before what only shows more", async () => {
    const open: Record<"operations" | "rollouts" | "most" | "mostOperations", number> = {
      operations: 0,
      rollouts: 0,
      most: 0,
      mostOperations: 0,
    };
    const begun = { operations: 0, rollouts: 0 };
    const count = (kind: "operations" | "rollouts", by: 1 | -1): void => {
      open[kind] += by;
      open.most = Math.max(open.most, open.operations + open.rollouts);
      open.mostOperations = Math.max(open.mostOperations, open.operations);
      if (by === 1) begun[kind]++;
      if (begun[isFull.after] >= isFull.of) full.resolve();
    };
    let full = Promise.withResolvers<void>();
    const isFull = { after: "operations" as "operations" | "rollouts", of: 16 };
    const operation = (name: string, state: State): Operation =>
      create(OperationSchema, {
        name,
        done: state === State.SUCCEEDED,
        metadata: anyPack(
          RestartMetadataSchema,
          create(RestartMetadataSchema, { state, outcome: Outcome.APPLIED, vendorJob: "2026-11-30T00:00:00Z" }),
        ),
      });
    const routes = (router: ConnectRouter): void => {
      router.service(WorkloadService, {
        restart({ name }, { responseHeader }) {
          responseHeader.set("operation-name", `operations/${name}`);
          return {};
        },
        async *watchRollout(_, { signal }) {
          count("rollouts", 1);
          yield { state: Rollout_State.PROGRESSING, message: "1 of 3" };
          if (!signal.aborted) await once(signal, "abort");
          count("rollouts", -1);
        },
      });
      router.service(OperationService, {
        async *watchOperation({ name }) {
          count("operations", 1);
          yield operation(name, State.SENT);
          await full.promise;
          count("operations", -1);
          yield operation(name, State.SUCCEEDED);
        },
      });
    };
    await using server = await listen(createHttp2(connectNodeAdapter({ routes })) as unknown as TcpServer);
    const restart = async (count: number): Promise<number> =>
      runClient(
        ["restart", "deploy", ...Array.from({ length: count }, (_, index) => `d-${index}`), "--wait", "--yes", "-q"],
        {
          out: () => {},
          err: () => {},
          now: () => 0,
          newId: () => crypto.randomUUID(),
          env: { RESTARTD_ADDRESS: `http://${server.host}`, RESTARTD_CLUSTER: "sandbox" },
          interrupted: new AbortController().signal,
          sleep: async () => {},
          colors: false,
        },
      );
    expect(await restart(40)).toBe(0);
    expect(open).toMatchObject({ operations: 0, mostOperations: 16 });
    expect(open.most).toBeLessThanOrEqual(16);
    // Beside two there is room for rollouts: nothing ends before both are seen.
    full = Promise.withResolvers();
    Object.assign(isFull, { after: "rollouts", of: begun.rollouts + 2 });
    expect(await restart(2)).toBe(0);
  });
});
