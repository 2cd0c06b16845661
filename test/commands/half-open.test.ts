import { once } from "node:events";
import { createServer as createHttp1 } from "node:http";
import { type AddressInfo, connect, createServer as createTcp, type Server, type Socket } from "node:net";
import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { afterEach, expect, it, vi } from "vitest";
import {
  RestartMetadata_Outcome as Outcome,
  RestartMetadataSchema,
  RestartMetadata_State as State,
} from "../../gen/restart/operation/v1/operation_pb.ts";
import { OperationService } from "../../gen/restart/operation/v1/operation_service_pb.ts";
import { createSlots, followOperation } from "../../src/commands/follow.ts";
import { openChannel } from "../../src/commands/transport.ts";

afterEach(() => void vi.useRealTimers());

/** A server on loopback; its port. */
async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

it("asks anew when the connection of its stream has died without a word", async () => {
  const held = new AbortController();
  let streams = 0;
  const http = createHttp1(
    connectNodeAdapter({
      shutdownSignal: held.signal,
      routes: (router) =>
        router.service(OperationService, {
          async *watchOperation({ name }, { signal }) {
            const first = ++streams === 1;
            const state = first ? State.SENT : State.SUCCEEDED;
            const metadata = create(RestartMetadataSchema, { state, outcome: Outcome.APPLIED, progress: "1 of 3" });
            yield { name, done: !first, metadata: anyPack(RestartMetadataSchema, metadata) };
            if (first) await once(signal, "abort");
          },
        }),
    }),
  );
  const upstreamPort = await listen(http);
  const pairs: [Socket, Socket][] = [];
  const proxy = createTcp((down) => {
    const up = connect(upstreamPort, "127.0.0.1");
    for (const socket of [down, up]) socket.on("error", () => {});
    down.pipe(up);
    up.pipe(down);
    pairs.push([down, up]);
  });
  const address = `http://127.0.0.1:${await listen(proxy)}`;
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const channel = openChannel({ address, token: "", ca: undefined });
  const shown = Promise.withResolvers<void>();
  let ended = false;
  const following = followOperation(
    "operations/1",
    {
      target: "clusters/a/apps/v1/namespaces/shop/deployments/web",
      label: "deployment.apps/web",
      name: "web",
      action: "restart",
      done: "restarted",
      send: () => Promise.reject(new Error("it has been sent")),
    },
    {
      client: { address, ...channel } as never,
      sleep: async () => {},
      signal: held.signal,
      spare: createSlots(0),
      step: () => shown.resolve(),
    },
  ).finally(() => {
    ended = true;
  });
  await shown.promise;
  // From here on nothing passes, and nobody is told: neither an end nor a reset.
  for (const [down, up] of pairs) {
    down.unpipe(up).pause();
    up.unpipe(down).pause();
  }
  await vi.advanceTimersByTimeAsync(59_999);
  expect({ streams, ended }).toEqual({ streams: 1, ended: false });
  await vi.advanceTimersByTimeAsync(1);
  expect(await following).toMatchObject({ name: "operations/1", done: true });
  expect(streams).toBe(2);
  held.abort();
  channel.close();
  for (const socket of pairs.flat()) socket.destroy();
  http.close();
  proxy.close();
});
