import { describe, expect, test } from "vitest";
import { isRead, isWrite, type TappedAnswer } from "../../../support/wiretap.ts";
import { IN_PROGRESS, type Made, make, restart, SECRET, subjectOf, type TheWorld } from "./world.ts";

const html = (status: number): TappedAnswer => ({
  status,
  headers: { "content-type": "text/html" },
  body: `<html><body>${status} by a proxy</body></html>`,
});

const json = (status: number, body: unknown): TappedAnswer => ({
  status,
  headers: { "content-type": "application/json" },
  body: typeof body === "string" ? body : JSON.stringify(body),
});

const failure = (code: number, message: string, reason?: string, details?: unknown): TappedAnswer =>
  json(code, { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, details, code });

/** Half an object, in which a secret stands early. */
const half = `{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"x","annotations":{"a":"${SECRET}"}},"spec":{`;

/** Answers that prove neither that the restart was applied nor that it was not. Undefined cuts the connection. */
const inconclusive: readonly (readonly [row: number, what: string, answer: TappedAnswer | undefined])[] = [
  [54, "the connection is cut", undefined],
  [53, "502 by a proxy", html(502)],
  [53, "503 by a proxy", html(503)],
  [53, "504 by a proxy", html(504)],
  [
    53,
    "503 of an aggregated API",
    { status: 503, headers: { "content-type": "text/plain" }, body: "service unavailable" },
  ],
  [
    58,
    "504 Timeout",
    failure(
      504,
      "Timeout: request did not complete within requested timeout - context deadline exceeded",
      "Timeout",
      {},
    ),
  ],
  [58, "504 in plain text", { status: 504, body: "the request did not complete within the allotted timeout" }],
  [58, "500 of etcd", failure(500, "etcdserver: request timed out")],
  [58, "500 of etcd without a leader", failure(500, "etcdserver: no leader")],
  [
    58,
    "500 ServerTimeout",
    failure(500, "could not be completed at this time", "ServerTimeout", { retryAfterSeconds: 2 }),
  ],
  [69, "200 that is not JSON", html(200)],
  [69, "200 with half an object", json(200, half)],
  [69, "200 that ends early", { ...json(200, half.repeat(50)), truncated: true }],
  [69, "200 with a Status", json(200, { kind: "Status", status: "Success", metadata: {} })],
  [69, "200 without a body", { status: 200, body: "" }],
  [69, "204", { status: 204 }],
  [69, "200 with a list", json(200, { kind: "DeploymentList", metadata: { resourceVersion: "1" }, items: [] })],
  [73, "500 with a reason that is not known", failure(500, "odd", "Bizarre")],
  [73, "599", failure(599, "odder", "Bizarre")],
];

/** Answers of the API server's own that end a write: nothing of it can still happen. */
const endings: readonly (readonly [what: string, answer: TappedAnswer, cause: string])[] = [
  ...[
    "etcdserver: mvcc: database space exceeded",
    "etcdserver: too many requests",
    "etcdserver: corrupt cluster",
    "rpc error: code = ResourceExhausted desc = etcdserver: mvcc: database space exceeded",
  ].map((message): readonly [string, TappedAnswer, string] => [
    message,
    failure(500, message),
    `its store does not take the write (etcd: ${message.replace(/^.*etcdserver: /, "")}); the cluster's operator has to mend that`,
  ]),
  [
    "a webhook's patch that does not fit",
    failure(500, "Internal error occurred: add operation does not apply: doc is missing path", "InternalError", {
      causes: [{ message: "add operation does not apply" }],
    }),
    "the API server failed while it handled the write (HTTP 500)",
  ],
  [
    "a panic",
    {
      status: 500,
      headers: { "content-type": "text/plain; charset=utf-8" },
      body: "This request caused apiserver to panic. Look in the logs for details.\n",
    },
    "the API server failed while it handled the write (HTTP 500)",
  ],
];

/** Rows 53, 54, 58, 69 and 73: what was sent and not answered for is never sent again; one read settles it. */
export function unknownRows(world: TheWorld): void {
  describe("unknown outcomes", () => {
    const remembered = async (): Promise<Made> => {
      const object = await make(world(), "deployments");
      expect((await restart(world().tapped, object.ref)).code).toBe("ok");
      world().tap.reset();
      return object;
    };

    test.each(inconclusive)(
      "row %i: %s after the restart was applied: one read proves it",
      async (_row, _what, answer) => {
        for (const object of [await make(world(), "deployments"), await remembered()]) {
          const { tap, tapped } = world();
          const before = await object.generation();
          tap.reset();
          tap.on(isWrite, async (_request, forward) => {
            await forward();
            return answer;
          });
          expect(await restart(tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
          expect(tapped.calls.at(-1)?.outcome).toBe("applied");
          expect(tap.writes).toHaveLength(1);
          expect(afterWrite(tap.requests)).toEqual(["GET"]);
          expect(await object.generation()).toBe(before + 1);
        }
      },
    );

    test.each(inconclusive)(
      "row %i: %s before the restart was applied: its outcome is unknown",
      async (_row, _what, answer) => {
        for (const object of [await make(world(), "deployments"), await remembered()]) {
          const { tap, tapped } = world();
          const before = [await object.generation(), await object.restartedAt()];
          tap.reset();
          tap.on(isWrite, () => answer);
          const told = await restart(tapped, object.ref);
          expect(told).toEqual({
            code: "Unknown",
            reason: "OUTCOME_UNKNOWN",
            outcome: "unknown",
            message: `the restart of ${subjectOf(object.ref)} was sent, and nothing proves whether it was applied; it is not sent again`,
            metadata: { cluster: "patcher", restarted_at: expect.stringMatching(/^\d{4}-/) },
            details: { RequestInfo: { requestId: tapped.calls.at(-1)?.id } },
            warnings: [],
          });
          expect(tap.writes).toHaveLength(1);
          expect(tap.writes[0]?.body).toContain(told.metadata?.restarted_at);
          expect(afterWrite(tap.requests)).toEqual(["GET"]);
          expect([await object.generation(), await object.restartedAt()]).toEqual(before);
        }
      },
    );

    test.each(endings)("%s ended it, and the read shows no value: not applied, now", async (_what, answer, cause) => {
      for (const object of [await make(world(), "deployments"), await remembered()]) {
        const { tap, tapped } = world();
        const before = [await object.generation(), await object.restartedAt()];
        tap.reset();
        tap.on(isWrite, () => answer);
        expect(await restart(tapped, object.ref)).toMatchObject({
          code: "Internal",
          reason: "VENDOR_INTERNAL_ERROR",
          outcome: "not_applied",
          message: `cluster patcher: ${cause}; the restart was not applied`,
          metadata: { cluster: "patcher", vendor_http_status: "500" },
          details: {},
        });
        expect(afterWrite(tap.requests)).toEqual(["GET"]);
        expect([await object.generation(), await object.restartedAt()]).toEqual(before);
        // Nothing blocks the target.
        expect(await restart(tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
        expect(tap.writes).toHaveLength(2);
      }
    });

    test.each(endings)("%s after the restart was applied all the same: the read proves it", async (_what, answer) => {
      const object = await remembered();
      world().tap.on(isWrite, async (_request, forward) => {
        await forward();
        return answer;
      });
      expect(await restart(world().tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
      expect(world().tap.writes).toHaveLength(1);
    });

    test("an answer that ended it, and another restart in its place: its outcome is unknown", async () => {
      const object = await remembered();
      world().tap.on(isWrite, async (_request, forward) => {
        await forward();
        const annotations = { "kubectl.kubernetes.io/restartedAt": "2026-05-04T03:02:01Z" };
        await object.merge({ spec: { template: { metadata: { annotations } } } });
        return failure(500, "Internal error occurred: encoding failed", "InternalError");
      });
      expect(await restart(world().tapped, object.ref)).toMatchObject({
        reason: "OUTCOME_UNKNOWN",
        outcome: "unknown",
      });
    });

    test.each([
      "Internal error occurred: rpc error: code = Unavailable desc = transport is closing",
      "Internal error occurred: context deadline exceeded",
      "Internal error occurred: resource quota evaluation timed out",
      "etcdserver: server stopped",
      "etcdserver: leader changed",
      "etcdserver: request timed out, possibly due to previous leader failure",
    ])("%s leaves it under way: its outcome is unknown", async (message) => {
      const object = await remembered();
      world().tap.on(isWrite, () =>
        failure(500, message, message.startsWith("Internal") ? "InternalError" : undefined),
      );
      expect(await restart(world().tapped, object.ref)).toMatchObject({
        reason: "OUTCOME_UNKNOWN",
        outcome: "unknown",
      });
    });

    test.each([
      ["applied", true],
      ["not applied", false],
    ])("row 54: %s, and the read is cut too: its outcome is unknown after one look", async (_what, applied) => {
      const object = await remembered();
      const { tap, tapped } = world();
      const before = await object.generation();
      tap.on(isWrite, async (_request, forward) => {
        if (applied) {
          await forward();
        }
        return undefined;
      });
      tap.on(isRead, () => undefined);
      expect(await restart(tapped, object.ref)).toMatchObject({
        code: "Unknown",
        reason: "OUTCOME_UNKNOWN",
        outcome: "unknown",
      });
      expect(tap.writes).toHaveLength(1);
      expect(afterWrite(tap.requests)).toEqual(["GET"]);
      expect(await object.generation()).toBe(before + Number(applied));
      expect(await restart(tapped, object.ref)).toMatchObject(IN_PROGRESS);
      expect(tap.writes).toHaveLength(1);
    });

    test("row 54: who cannot read finds out by a dry run", async () => {
      const object = await make(world(), "deployments", { annotations: { a: "1" } });
      const { tap, tapped } = world();
      tap.on(isWrite, async (_request, forward) => {
        await forward();
        return undefined;
      });
      expect(await restart(tapped, { ...object.ref, cluster: "blind" })).toEqual({
        code: "ok",
        warnings: ["PREFLIGHT_SKIPPED"],
      });
      expect(tap.writes).toHaveLength(1);
      expect(await object.generation()).toBe(2);
    });

    test("row 54: another restart that came after ours does not prove ours", async () => {
      const object = await remembered();
      const { tap, tapped } = world();
      tap.on(isWrite, async (_request, forward) => {
        await forward();
        const annotations = { "kubectl.kubernetes.io/restartedAt": "2026-05-04T03:02:01Z" };
        await object.merge({ spec: { template: { metadata: { annotations } } } });
        return undefined;
      });
      expect(await restart(tapped, object.ref)).toMatchObject({
        code: "Unknown",
        reason: "OUTCOME_UNKNOWN",
        outcome: "unknown",
      });
      expect(tap.writes).toHaveLength(1);
    });

    test("row 54: a refusal by a guard and then a cut: the second write is the last", async () => {
      const object = await make(world(), "deployments");
      const { tap, tapped } = world();
      tap.on(isWrite, async (_request, forward) => {
        await object.merge({ spec: { template: { metadata: { annotations: { mine: "1" } } } } });
        return forward();
      });
      tap.on(isWrite, () => undefined);
      expect(await restart(tapped, object.ref)).toMatchObject({ reason: "OUTCOME_UNKNOWN", outcome: "unknown" });
      expect(tap.writes.map(({ status }) => status)).toEqual([422, undefined]);
      expect(tap.applicable).toHaveLength(1);
    });

    test("row 69: the API server has the value in place and an old generation", async () => {
      const object = await remembered();
      const before = await object.generation();
      world().tap.on(isWrite, async (_request, forward) => {
        const answer = await forward();
        const { metadata, ...rest } = JSON.parse(answer.body ?? "");
        return { ...answer, body: JSON.stringify({ ...rest, metadata: { ...metadata, generation: before } }) };
      });
      expect(await restart(world().tapped, object.ref)).toMatchObject({
        reason: "OUTCOME_UNKNOWN",
        outcome: "unknown",
      });
      expect(world().tap.writes).toHaveLength(1);
    });
  });
}

/** Methods of what was asked after the first write. */
const afterWrite = (requests: TheWorld extends () => { tap: { requests: infer R } } ? R : never): string[] =>
  requests.slice(requests.findIndex(isWrite) + 1).map(({ method }) => method);
