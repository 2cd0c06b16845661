import { randomUUID } from "node:crypto";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { RestartInstancesRequest_Action as Action } from "../../../gen/restart/dcs/v1/instance_service_pb.ts";
import { OPERATION_HEADER } from "../../../src/core/call.ts";
import { dcsError } from "../../../src/targets/dcs/simulator.ts";
import { CLUSTER, failureIn, failureOf, idOf, NOBODY, nameOf, PROJECT, SINGLE, startDcs } from "./support.ts";

const ask = (...instanceIds: string[]) => ({ projectId: PROJECT, instanceIds });

describe("RestartInstances", () => {
  const tooMany = (after: string) => ({ status: 429, headers: { "retry-after": after } });

  it("puts back into the line what a gateway refuses for being too many, reads and requests alike", async () => {
    const ids = Array.from({ length: 6 }, (_, index) => idOf(index));
    await using dcs = await startDcs({ instances: ids.map((instanceId) => ({ instanceId })) });
    dcs.simulator.inject({ method: "GET", times: 2, answer: tooMany("0") });
    dcs.simulator.inject({ method: "PUT", times: 3, answer: tooMany("0") });
    const { results } = await dcs.client.restartInstances({ ...ask(...ids), acknowledgeDataLoss: true });
    expect(results.map(({ result }) => result)).toEqual(ids.map(() => "success"));
    expect(dcs.puts()).toHaveLength(ids.length + 3);
    expect(ids.map((id) => dcs.simulator.instances.get(id)?.done.restart)).toEqual(ids.map(() => 1));
  });

  it("tells those that they were too many whose turn would come after the deadline", async () => {
    const ids = [idOf(1), idOf(2), idOf(3)];
    await using dcs = await startDcs({ instances: ids.map((instanceId) => ({ instanceId })) });
    dcs.simulator.inject({ method: "PUT", times: 9, answer: tooMany("600") });
    const failure = await failureOf(dcs.client.restartInstances({ ...ask(...ids), acknowledgeDataLoss: true }));
    expect(failure).toMatchObject({ reason: "THROTTLED", metadata: { outcome: "not_applied" } });
    expect(dcs.puts().length).toBeLessThanOrEqual(3);
    const sent = dcs.puts().length;
    expect(await failureOf(dcs.client.restartInstances(ask(idOf(1))))).toMatchObject({ reason: "THROTTLED" });
    expect(dcs.puts(), "a call about one does not wait").toHaveLength(sent + 1);
  });

  it("sends one request for each instance, and follows each to its end", async () => {
    await using dcs = await startDcs();
    dcs.simulator.instances.hold();
    let name = "";
    const { results } = await dcs.client.restartInstances(
      { ...ask(CLUSTER, SINGLE), acknowledgeDataLoss: true },
      {
        onHeader: (header) => {
          name = header.get(OPERATION_HEADER) ?? "";
        },
      },
    );
    expect(results.map(({ instanceId, result, error }) => [instanceId, result, error])).toEqual([
      [CLUSTER, "success", undefined],
      [SINGLE, "success", undefined],
    ]);
    expect(dcs.puts().toSorted((a, b) => (a.instances < b.instances ? 1 : -1))).toEqual([
      { instances: [CLUSTER], action: "restart" },
      { instances: [SINGLE], action: "restart" },
    ]);
    const progress = () => results.map(({ operation }) => dcs.database.operations.get(operation)?.progress);
    await expect.poll(progress).toEqual(["RESTARTING", "RESTARTING"]);
    dcs.simulator.instances.release();
    for (const [index, id] of [CLUSTER, SINGLE].entries()) {
      const part = await dcs.until(results[index]?.operation ?? "", "SUCCEEDED");
      expect(part).toMatchObject({ target: nameOf(id), parent: name, action: "restart", progress: "RUNNING" });
      expect(JSON.parse(part.evidence)).toMatchObject({ status: "RUNNING", task: "", begun: true });
      expect(dcs.simulator.instances.get(id)).toMatchObject({ status: "RUNNING", task: null, done: { restart: 1 } });
    }
    expect(await dcs.until(name, "SUCCEEDED")).toMatchObject({ target: `projects/${PROJECT}/dcs/instances` });
    expect(dcs.simulator.instances.get(CLUSTER)?.keys).toBe(1_000);
    expect(dcs.simulator.instances.get(SINGLE)?.keys).toBe(0);
  });

  it.each([
    [Action.UNSPECIFIED, "restart"],
    [Action.RESTART, "restart"],
    [Action.SOFT_RESTART, "soft_restart"],
  ])("says action %i in the vendor's words: %s", async (action, word) => {
    await using dcs = await startDcs();
    const { results } = await dcs.client.restartInstances({ ...ask(CLUSTER), action });
    expect(dcs.puts()).toEqual([{ instances: [CLUSTER], action: word }]);
    expect((await dcs.until(results[0]?.operation ?? "", "SUCCEEDED")).action).toBe(word);
  });

  it("restarts 50 instances, eight at a time, in the order that was asked for", async () => {
    const ids = Array.from({ length: 50 }, (_, index) => idOf(index));
    await using dcs = await startDcs({ instances: ids.map((instanceId) => ({ instanceId })) });
    let under = 0;
    let most = 0;
    const eight = Promise.withResolvers<void>();
    dcs.simulator.inject({
      method: "PUT",
      times: Number.POSITIVE_INFINITY,
      before: () => {
        under += 1;
        most = Math.max(most, under);
        if (under === 8) eight.resolve();
        return eight.promise; // the first ones are not answered before there are as many as there may be
      },
      delayBefore: 10,
      answer: (reply) => {
        under -= 1;
        return reply;
      },
    });
    const { results } = await dcs.client.restartInstances(ask(...ids));
    expect(results.map(({ instanceId, result }) => [instanceId, result])).toEqual(ids.map((id) => [id, "success"]));
    expect(new Set(results.map(({ operation }) => operation)).size).toBe(50);
    expect(most).toBe(8);
    expect(ids.map((id) => dcs.simulator.instances.get(id)?.done.restart)).toEqual(ids.map(() => 1));
  });

  it("refuses more than 50, none, and one twice", async () => {
    await using dcs = await startDcs();
    const ids = Array.from({ length: 51 }, (_, index) => idOf(index));
    for (const instanceIds of [ids, [], [CLUSTER, CLUSTER]]) {
      const failure = await failureOf(dcs.client.restartInstances({ projectId: PROJECT, instanceIds }));
      expect(failure).toMatchObject({ code: Code.InvalidArgument, reason: "INVALID_ARGUMENT", violations: 1 });
    }
    expect(dcs.simulator.requests).toEqual([]);
  });

  it("refuses a project that is not configured", async () => {
    await using dcs = await startDcs();
    const call = dcs.client.restartInstances({ projectId: "other", instanceIds: [CLUSTER] });
    expect(await failureOf(call)).toMatchObject({ code: Code.NotFound, reason: "PROJECT_NOT_FOUND", operation: "" });
    expect(dcs.simulator.requests).toEqual([]);
  });

  it("with validate_only reads, and neither sends nor stores anything", async () => {
    await using dcs = await startDcs();
    await dcs.client.restartInstances({ ...ask(CLUSTER), validateOnly: true });
    expect(dcs.simulator.requests.map(({ method }) => method)).toEqual(["GET", "GET"]);
    expect(dcs.database.operations.size).toBe(0);
  });

  it("answers a repeated request_id by the same operation, and sends nothing again", async () => {
    await using dcs = await startDcs();
    const request = { ...ask(CLUSTER), requestId: randomUUID() };
    const first = await dcs.client.restartInstances(request);
    expect(await dcs.client.restartInstances(request)).toEqual(first);
    await dcs.until(first.results[0]?.operation ?? "", "SUCCEEDED");
    expect(await dcs.client.restartInstances(request)).toEqual(first);
    expect(dcs.simulator.instances.get(CLUSTER)?.done.restart).toBe(1);
  });

  it("keeps an instance from a second operation until the first has ended", async () => {
    await using dcs = await startDcs({ pollIntervalMs: 300 });
    dcs.simulator.instances.hold();
    const { results } = await dcs.client.restartInstances(ask(CLUSTER));
    const operation = results[0]?.operation ?? "";
    await expect.poll(() => dcs.database.operations.get(operation)?.progress).toBe("RESTARTING");
    // The vendor's own word, were it asked, would be hidden: the guard must not depend on it.
    dcs.simulator.inject({ method: "GET", times: 2, answer: (reply) => calm(reply) });
    const failure = await failureOf(dcs.client.restartInstances(ask(CLUSTER)));
    expect(failure).toMatchObject({ code: Code.Aborted, reason: "OPERATION_IN_PROGRESS" });
    expect(failure.metadata).toMatchObject({ operation, state: "SENT" });
    dcs.simulator.instances.release();
    await dcs.until(operation, "SUCCEEDED");
    expect(dcs.simulator.instances.get(CLUSTER)?.done.restart).toBe(1);
  });
});

/** An answer about an instance as if it were idle. */
const calm = (reply: { readonly status: number; readonly body?: unknown }) => ({
  status: reply.status,
  body: { ...(typeof reply.body === "object" ? reply.body : {}), status: "RUNNING", task: null },
});

describe("the guards", () => {
  const instances = [
    { instanceId: idOf(1) },
    { instanceId: idOf(2), cacheMode: "single", replicaCount: 1 },
    { instanceId: idOf(3), cacheMode: "cluster", replicaCount: 1 },
    { instanceId: idOf(4), appendOnly: "no" as const },
    { instanceId: idOf(5), appendOnly: undefined },
  ];

  it.each([Action.RESTART, Action.SOFT_RESTART])(
    "name every instance whose data action %i may lose, at once",
    async (action) => {
      await using dcs = await startDcs({ instances });
      const ids = instances.map(({ instanceId }) => instanceId);
      const failure = await failureOf(dcs.client.restartInstances({ ...ask(...ids), action }));
      expect(failure).toMatchObject({
        code: Code.FailedPrecondition,
        reason: "DATA_LOSS_NOT_ACKNOWLEDGED",
        operation: "",
      });
      expect(failure.preconditions).toEqual(
        [2, 3, 4, 5].map((number) => ["DATA_LOSS_NOT_ACKNOWLEDGED", nameOf(idOf(number))]),
      );
      expect(dcs.puts()).toEqual([]);
      expect(dcs.database.operations.size).toBe(0);
      const { results } = await dcs.client.restartInstances({ ...ask(...ids), action, acknowledgeDataLoss: true });
      expect(results.map(({ result }) => result)).toEqual(ids.map(() => "success"));
    },
  );

  it("count an AOF setting that cannot be read as off", async () => {
    await using dcs = await startDcs();
    dcs.simulator.inject({ path: /\/configs$/, answer: dcsError("DCS.2003") });
    const failure = await failureOf(dcs.client.restartInstances(ask(CLUSTER)));
    expect(failure).toMatchObject({ reason: "DATA_LOSS_NOT_ACKNOWLEDGED" });
    expect(failure.message).toContain("could not be read");
    expect(dcs.puts()).toEqual([]);
  });

  it("do not call data at risk where its AOF setting was asked for too often", async () => {
    await using dcs = await startDcs();
    const answer = { status: 429, headers: { "retry-after": "1" } };
    dcs.simulator.inject({ path: /\/configs$/, answer });
    expect(await failureOf(dcs.client.restartInstances(ask(CLUSTER)))).toMatchObject({ reason: "THROTTLED" });
    expect(dcs.puts()).toEqual([]);
  });

  it("read the AOF setting only where the nodes leave it open, and nothing was acknowledged", async () => {
    await using dcs = await startDcs({ instances });
    await failureOf(dcs.client.restartInstances(ask(idOf(1), idOf(2))));
    expect(dcs.simulator.requests.filter(({ path }) => path.endsWith("/configs"))).toHaveLength(1);
    dcs.simulator.forgetRequests();
    await dcs.client.restartInstances({ ...ask(idOf(1)), acknowledgeDataLoss: true, validateOnly: true });
    expect(dcs.simulator.requests.map(({ path }) => path)).toEqual([`/v2/${PROJECT}/instances/${idOf(1)}`]);
  });

  it("ask once when our own credentials are refused: a key that is refused too often is locked", async () => {
    const ids = Array.from({ length: 20 }, (_, index) => idOf(index));
    await using dcs = await startDcs({ instances: ids.map((instanceId) => ({ instanceId })) });
    dcs.simulator.inject({ times: 100, answer: dcsError("DCS.1002") });
    const failure = await failureOf(dcs.client.restartInstances(ask(...ids)));
    expect(failure).toMatchObject({ code: Code.Internal, reason: "VENDOR_CREDENTIALS_REJECTED", operation: "" });
    expect(failure.metadata).toMatchObject({ vendor_code: "DCS.1002", outcome: "not_applied" });
    expect(dcs.simulator.requests).toHaveLength(1);
    expect(dcs.database.operations.size).toBe(0);
  });

  it("refuse the whole call for an id that does not exist, and name what else is missing", async () => {
    await using dcs = await startDcs();
    const failure = await failureOf(dcs.client.restartInstances(ask(CLUSTER, NOBODY, SINGLE)));
    expect(failure).toMatchObject({ code: Code.NotFound, reason: "TARGET_NOT_FOUND", operation: "" });
    expect(failure.metadata).toMatchObject({ vendor: "dcs", vendor_code: "DCS.3022", vendor_http_status: "404" });
    expect(failure.resources).toEqual([nameOf(NOBODY)]);
    expect(failure.preconditions).toEqual([["DATA_LOSS_NOT_ACKNOWLEDGED", nameOf(SINGLE)]]);
    expect(dcs.puts()).toEqual([]);
    expect(dcs.database.operations.size).toBe(0);
  });

  it.each([
    ["RESTARTING", null, "OPERATION_IN_PROGRESS", Code.Aborted],
    ["FLUSHING", null, "OPERATION_IN_PROGRESS", Code.Aborted],
    ["EXTENDING", null, "OPERATION_IN_PROGRESS", Code.Aborted],
    ["RUNNING", "BACKUPING", "OPERATION_IN_PROGRESS", Code.Aborted],
    ["FROZEN", null, "TARGET_STATE_FORBIDS", Code.FailedPrecondition],
    ["CREATEFAILED", null, "TARGET_STATE_FORBIDS", Code.FailedPrecondition],
    ["NEVER-HEARD-OF", null, "TARGET_STATE_FORBIDS", Code.FailedPrecondition],
  ])("do not send to an instance that is %s with task %s", async (status, task, reason, code) => {
    await using dcs = await startDcs();
    dcs.simulator.instances.put(CLUSTER, { status, task });
    for (const validateOnly of [true, false]) {
      const failure = await failureOf(dcs.client.restartInstances({ ...ask(CLUSTER), validateOnly }));
      expect(failure).toMatchObject({ code, reason, operation: "", metadata: { state: task ?? status } });
      expect(failure.items).toMatchObject([{ code, reason, resources: [nameOf(CLUSTER)] }]);
    }
    expect(dcs.puts()).toEqual([]);
    expect(dcs.database.operations.size).toBe(0);
  });

  it("send to a faulty instance", async () => {
    await using dcs = await startDcs();
    dcs.simulator.instances.put(CLUSTER, { status: "ERROR" });
    const { results } = await dcs.client.restartInstances(ask(CLUSTER));
    await dcs.until(results[0]?.operation ?? "", "SUCCEEDED");
    expect(dcs.simulator.instances.get(CLUSTER)).toMatchObject({ status: "RUNNING", done: { restart: 1 } });
  });
});

describe("a call of which some fail", () => {
  it("is OK, and tells of each", async () => {
    await using dcs = await startDcs({ instances: [1, 2, 3, 4].map((number) => ({ instanceId: idOf(number) })) });
    dcs.simulator.instances.put(idOf(2), { status: "RUNNING", task: "BACKUPING" });
    dcs.simulator.instances.fail(idOf(3));
    dcs.simulator.inject({
      method: "PUT",
      when: ({ body }) => body.includes(idOf(4)),
      answer: dcsError("DCS.4111"),
    });
    const { results } = await dcs.client.restartInstances(ask(idOf(1), idOf(2), idOf(3), idOf(4)));
    expect(results.map(({ result, error }) => [result, failureIn(error)?.reason])).toEqual([
      ["success", undefined],
      ["failed", "OPERATION_IN_PROGRESS"],
      ["failed", "VENDOR_REPORTED_FAILED"],
      ["failed", "OPERATION_IN_PROGRESS"],
    ]);
    expect(results.map(({ error }) => failureIn(error)?.resources)).toEqual([
      undefined,
      [nameOf(idOf(2))],
      [nameOf(idOf(3))],
      [nameOf(idOf(4))],
    ]);
    expect(failureIn(results[3]?.error)?.metadata).toMatchObject({
      outcome: "not_applied",
      state: "restarting",
      vendor_code: "DCS.4111",
      vendor_http_status: "400",
    });
    expect(
      dcs
        .puts()
        .map(({ instances }) => instances[0])
        .toSorted(),
    ).toEqual([idOf(1), idOf(3), idOf(4)]);
    expect([1, 2, 3, 4].map((number) => dcs.simulator.instances.get(idOf(number))?.done.restart)).toEqual([1, 0, 0, 0]);
  });

  it("is an error with their common code when all do", async () => {
    await using dcs = await startDcs();
    dcs.simulator.inject({ method: "PUT", times: 2, answer: dcsError("DCS.4111") });
    const failure = await failureOf(
      dcs.client.restartInstances({ ...ask(CLUSTER, SINGLE), acknowledgeDataLoss: true }),
    );
    expect(failure).toMatchObject({
      code: Code.Aborted,
      reason: "OPERATION_IN_PROGRESS",
      operation: expect.stringMatching(/^operations\//),
      metadata: { outcome: "not_applied", vendor: "dcs", vendor_code: "DCS.4111" },
    });
    expect(failure.items.map(({ reason, resources }) => [reason, resources])).toEqual([
      ["OPERATION_IN_PROGRESS", [nameOf(CLUSTER)]],
      ["OPERATION_IN_PROGRESS", [nameOf(SINGLE)]],
    ]);
  });

  it("is UNKNOWN when they differ", async () => {
    await using dcs = await startDcs();
    dcs.simulator.instances.put(CLUSTER, { status: "FROZEN" });
    dcs.simulator.inject({ method: "PUT", answer: dcsError("DCS.4111") });
    const failure = await failureOf(
      dcs.client.restartInstances({ ...ask(CLUSTER, SINGLE), acknowledgeDataLoss: true }),
    );
    expect(failure).toMatchObject({
      code: Code.Unknown,
      reason: "VENDOR_REPORTED_FAILED",
      metadata: { outcome: "not_applied", vendor: "dcs" },
    });
    expect(failure.items.map(({ code }) => code)).toEqual([Code.FailedPrecondition, Code.Aborted]);
  });

  it("is VENDOR_REPORTED_FAILED where the vendor says failed with HTTP 200", async () => {
    await using dcs = await startDcs();
    dcs.simulator.instances.fail(CLUSTER);
    const failure = await failureOf(dcs.client.restartInstances(ask(CLUSTER)));
    expect(failure).toMatchObject({
      code: Code.Unknown,
      reason: "VENDOR_REPORTED_FAILED",
      metadata: { outcome: "not_applied", vendor_http_status: "200" },
      resources: [nameOf(CLUSTER)],
    });
    const [part] = [...dcs.database.operations.values()].filter(({ parent }) => parent !== undefined);
    expect(part).toMatchObject({ state: "FAILED", blocks: false });
  });
});
