import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createAuthority } from "../../cluster/certificates.ts";
import { type SimulatorBackend, startSimulatorBackend } from "../../support/simulator-backend.ts";
import { behaviour } from "./behaviour/index.ts";
import { IN_PROGRESS, make, openWorld, restart, subjectOf, type World } from "./behaviour/world.ts";

behaviour("simulator", () => startSimulatorBackend());

describe("Restart over HTTP/2", () => {
  let backend: SimulatorBackend;
  let opened: World;
  const world = () => opened;
  beforeAll(async () => {
    const authority = createAuthority("simulator");
    const { cert, key } = authority.issue({ commonName: "simulator", usage: "server", hosts: ["127.0.0.1"] });
    backend = await startSimulatorBackend({ tls: { key, cert: cert + authority.cert } });
    opened = await openWorld(backend);
  });
  afterAll(async () => {
    await opened?.[Symbol.asyncDispose]();
    await backend?.[Symbol.asyncDispose]();
  });

  const ways = ["reset", "close", "stream", "goaway"] as const;
  const patches = (path: string) =>
    backend.simulator.requests.filter((request) => request.method === "PATCH" && request.path.startsWith(`${path}?`));

  test.each(
    (["after-executing", "while-answering"] as const).flatMap((disconnect) => ways.map((way) => ({ disconnect, way }))),
  )("row 54: $way $disconnect: one read proves that it was applied", async ({ disconnect, way }) => {
    const object = await make(world(), "deployments");
    expect((await restart(world().direct, object.ref)).code).toBe("ok");
    backend.simulator.inject({ method: "PATCH", path: new RegExp(`${object.ref.name}\\?`), disconnect, way });
    expect(await restart(world().direct, object.ref)).toEqual({ code: "ok", warnings: [] });
    expect(patches(object.path).map(({ httpVersion }) => httpVersion)).toEqual(["2.0", "2.0"]);
    expect(await object.generation()).toBe(3);
  });

  test.each(
    (["before-reading", "before-executing"] as const).flatMap((disconnect) => ways.map((way) => ({ disconnect, way }))),
  )("row 54: $way $disconnect: unknown, and not sent again", async ({ disconnect, way }) => {
    const object = await make(world(), "deployments");
    expect((await restart(world().direct, object.ref)).code).toBe("ok");
    backend.simulator.inject({ method: "PATCH", path: new RegExp(`${object.ref.name}\\?`), disconnect, way });
    expect(await restart(world().direct, object.ref)).toMatchObject({
      code: "Unknown",
      reason: "OUTCOME_UNKNOWN",
      outcome: "unknown",
      message: `the restart of ${subjectOf(object.ref)} was sent, and nothing proves whether it was applied; it is not sent again`,
    });
    expect(patches(object.path)).toHaveLength(2);
    expect(await object.generation()).toBe(2);
    expect(await restart(world().direct, object.ref)).toMatchObject(IN_PROGRESS);
    expect(patches(object.path)).toHaveLength(2);
  });
});
