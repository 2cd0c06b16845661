import { randomUUID } from "node:crypto";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { htmlReply, jsonReply } from "../../../src/clouds/simulator/exchange.ts";
import type { Fault } from "../../../src/clouds/simulator/faults.ts";
import { dcsError } from "../../../src/targets/dcs/simulator.ts";
import { CLUSTER, type Dcs, failureIn, failureOf, idOf, PROJECT, SINGLE, startDcs } from "./support.ts";

const restart = (dcs: Dcs) => dcs.client.restartInstances({ projectId: PROJECT, instanceIds: [CLUSTER] });

/** The one operation of an instance. */
const partOf = (dcs: Dcs): string => {
  const [part, ...others] = [...dcs.database.operations.values()].filter(({ parent }) => parent !== undefined);
  if (part === undefined || others.length > 0) throw new Error("there is not one part");
  return part.name;
};

const results = (...list: unknown[]) => jsonReply(200, { results: list });

/** Answers that tell nothing, each of a request that the vendor may have executed. */
const UNREADABLE: readonly (readonly [what: string, fault: Fault])[] = [
  ["nothing, the connection is cut", { disconnect: "after-executing" }],
  ["half an answer", { disconnect: "while-answering" }],
  ["an empty list", { answer: results() }],
  ["another instance's result", { answer: results({ instance: SINGLE, result: "success" }) }],
  ["a result without an instance", { answer: results({ result: "success" }) }],
  ["a result that nobody knows", { answer: results({ instance: CLUSTER, result: "accepted" }) }],
  [
    "two results",
    { answer: results({ instance: CLUSTER, result: "failed" }, { instance: CLUSTER, result: "success" }) },
  ],
  ["a list of something else", { answer: results(1, null, "success") }],
  ["no list", { answer: jsonReply(200, { results: "success" }) }],
  ["an array", { answer: jsonReply(200, []) }],
  ["HTML", { answer: htmlReply(200, "Welcome") }],
  ["nothing", { answer: { status: 200 } }],
  ["HTTP 202", { answer: jsonReply(202, {}) }],
  ["HTTP 204", { answer: { status: 204 } }],
  ["HTTP 500 without a code", { answer: htmlReply(500, "Internal Server Error") }],
  ["HTTP 502", { answer: htmlReply(502, "Bad Gateway") }],
  ["HTTP 504", { answer: htmlReply(504, "Gateway Timeout") }],
  ["HTTP 500 with DCS.5000", { answer: dcsError("DCS.5000") }],
  ["HTTP 500 with DCS.5006", { answer: dcsError("DCS.5006") }],
  ["HTTP 500 with DCS.5095, as the older API says it", { answer: dcsError("DCS.5095", "v1.0") }],
];

/** One of each kind: what follows does not depend on how an answer told nothing. */
const SOME = UNREADABLE.filter(([what]) =>
  ["nothing, the connection is cut", "an empty list", "HTML", "HTTP 504", "HTTP 500 with DCS.5000"].includes(what),
);

describe("an answer that tells nothing", () => {
  it.each(UNREADABLE)("%s: one read shows that it was applied", async (_what, fault) => {
    await using dcs = await startDcs();
    dcs.simulator.instances.hold();
    dcs.simulator.inject({ method: "PUT", execute: true, ...fault });
    const {
      results: [result],
    } = await restart(dcs);
    dcs.simulator.instances.release();
    expect(result).toMatchObject({ instanceId: CLUSTER, result: "success" });
    await dcs.until(result?.operation ?? "", "SUCCEEDED");
    expect(dcs.simulator.instances.get(CLUSTER)?.done.restart).toBe(1);
    expect(dcs.puts()).toHaveLength(1);
  });

  it.each(SOME)(
    "%s: what one read does not show is unknown, and ends as the vendor shows later",
    async (_what, fault) => {
      await using dcs = await startDcs();
      dcs.simulator.instances.hold("all");
      dcs.simulator.inject({ method: "PUT", execute: true, ...fault });
      const failure = await failureOf(restart(dcs));
      expect(failure).toMatchObject({
        code: Code.Unknown,
        reason: "OUTCOME_UNKNOWN",
        metadata: { outcome: "unknown" },
      });
      expect(failure.items).toMatchObject([{ reason: "OUTCOME_UNKNOWN" }]);
      dcs.simulator.instances.hold();
      await dcs.until(partOf(dcs), "SENT");
      dcs.simulator.instances.release();
      const part = await dcs.until(partOf(dcs), "SUCCEEDED");
      expect(part.evidence).toContain('"begun":true');
      expect(await dcs.until(failure.operation, "SUCCEEDED")).toMatchObject({ blocks: false });
      expect(dcs.puts()).toHaveLength(1);
    },
  );

  it.each(SOME)("%s: what never shows is unresolved, and keeps the instance", async (_what, fault) => {
    await using dcs = await startDcs({ timing: { settleMs: 50 } });
    const { execute: _execute, disconnect, ...rest } = fault;
    dcs.simulator.inject({ method: "PUT", ...rest, ...(disconnect && { disconnect: "before-executing" }) });
    const failure = await failureOf(restart(dcs));
    expect(failure).toMatchObject({ reason: "OUTCOME_UNKNOWN", metadata: { outcome: "unknown" } });
    const part = await dcs.until(partOf(dcs), "UNRESOLVED");
    expect(part.blocks).toBe(true);
    expect(part.error).toContain("OUTCOME_UNRESOLVED");
    expect(await failureOf(restart(dcs))).toMatchObject({
      reason: "OPERATION_IN_PROGRESS",
      metadata: { state: "UNRESOLVED" },
    });
    expect(dcs.simulator.instances.get(CLUSTER)?.done.restart).toBe(0);
    expect(dcs.puts()).toHaveLength(1);
  });

  it("is a failed item beside others that are taken", async () => {
    await using dcs = await startDcs({ instances: [{ instanceId: idOf(1) }, { instanceId: idOf(2) }] });
    dcs.simulator.inject({ method: "PUT", when: ({ body }) => body.includes(idOf(2)), disconnect: "before-executing" });
    const answer = await dcs.client.restartInstances({ projectId: PROJECT, instanceIds: [idOf(1), idOf(2)] });
    expect(answer.results.map(({ result, error }) => [result, failureIn(error)?.reason])).toEqual([
      ["success", undefined],
      ["failed", "OUTCOME_UNKNOWN"],
    ]);
    const [, unknown] = answer.results;
    expect(failureIn(unknown?.error)?.metadata).toMatchObject({ outcome: "unknown", vendor: "dcs" });
    await dcs.until(unknown?.operation ?? "", "UNKNOWN");
  });
});

describe("a request that surely did nothing", () => {
  it.each([
    ["throttled", { answer: { status: 429, headers: { "retry-after": "7" } } }, "THROTTLED", 7_000],
    [
      "a redirect",
      { answer: { status: 307, headers: { location: "http://127.0.0.1:1/" } } },
      "UPSTREAM_REDIRECT",
      undefined,
    ],
    ["a conflict that wears a 500", { answer: dcsError("DCS.4069") }, "OPERATION_IN_PROGRESS", undefined],
  ] as const)("%s", async (_what, fault, reason, retryMs) => {
    await using dcs = await startDcs();
    dcs.simulator.inject({ method: "PUT", ...fault });
    const failure = await failureOf(restart(dcs));
    expect(failure).toMatchObject({ reason, retryMs, metadata: { outcome: "not_applied" } });
    expect(dcs.database.operations.get(partOf(dcs))).toMatchObject({ state: "FAILED", blocks: false });
    expect(dcs.puts()).toHaveLength(1);
  });

  it("is VENDOR_UNREACHABLE where nobody listens", async () => {
    await using dcs = await startDcs();
    await dcs.vanish();
    const failure = await failureOf(restart(dcs));
    expect(failure).toMatchObject({ code: Code.Unavailable, reason: "VENDOR_UNREACHABLE", operation: "" });
    expect(dcs.database.operations.size).toBe(0);
  });

  it("was cancelled while it was checked", async () => {
    await using dcs = await startDcs();
    const leaving = new AbortController();
    dcs.simulator.inject({ method: "GET", before: () => leaving.abort(), delayAfter: 50 });
    const call = dcs.client.restartInstances(
      { projectId: PROJECT, instanceIds: [CLUSTER] },
      { signal: leaving.signal },
    );
    expect(await failureOf(call)).toMatchObject({ code: Code.Canceled });
    expect(dcs.puts()).toEqual([]);
    expect(dcs.database.operations.size).toBe(0);
  });
});

describe("a process that dies", () => {
  it("after its request was taken: another one follows it to its end", async () => {
    await using dcs = await startDcs();
    dcs.simulator.instances.hold();
    const {
      results: [result],
    } = await restart(dcs);
    await dcs.takeOver();
    dcs.simulator.instances.release();
    await dcs.until(result?.operation ?? "", "SUCCEEDED");
    expect(dcs.puts()).toHaveLength(1);
  });

  it("while its request is on its way: another one reads what became of it, and sends nothing", async () => {
    await using dcs = await startDcs();
    const sent = Promise.withResolvers<void>();
    dcs.simulator.instances.hold();
    dcs.simulator.inject({ method: "PUT", before: () => sent.resolve(), delayAfter: 300 });
    const requestId = randomUUID();
    void dcs.client.restartInstances({ projectId: PROJECT, instanceIds: [CLUSTER], requestId }).catch(() => {});
    await sent.promise;
    await dcs.takeOver();
    const name = partOf(dcs);
    await dcs.until(name, "SENT");
    dcs.simulator.instances.release();
    await dcs.until(name, "SUCCEEDED");
    expect(dcs.puts()).toHaveLength(1);
    const events = dcs.database.audit.filter(({ operation }) => operation === name).map(({ to }) => to);
    expect(events).toEqual(["ACCEPTED", "SENDING", "UNKNOWN", "SENT", "SUCCEEDED"]);
  });
});

describe("a vendor in chaos", () => {
  it("executes each request at most once", async () => {
    const ids = Array.from({ length: 40 }, (_, index) => idOf(index));
    await using dcs = await startDcs({ instances: ids.map((instanceId) => ({ instanceId })) });
    let seed = 7;
    const random = () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return seed / 2 ** 31;
    };
    dcs.simulator.chaos({ random, rate: 0.7 });
    const answer = await dcs.client.restartInstances({ projectId: PROJECT, instanceIds: ids });
    // Sent again is what a gateway refused for being too many, and nothing else.
    expect(ids.filter((id) => (dcs.simulator.instances.get(id)?.done.restart ?? 0) > 1)).toEqual([]);
    for (const { instanceId, result, error } of answer.results) {
      const done = dcs.simulator.instances.get(instanceId)?.done.restart;
      const outcome = failureIn(error)?.metadata.outcome ?? "applied";
      expect([result, outcome, done]).toEqual(
        result === "success" ? ["success", "applied", 1] : ["failed", outcome, outcome === "not_applied" ? 0 : done],
      );
    }
    expect(answer.results.some(({ result }) => result === "failed")).toBe(true);
  });
});
