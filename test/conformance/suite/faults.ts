import { once } from "node:events";
import { createServer } from "node:http";
import { describe, expect, test } from "vitest";
import { REASONS } from "../../../src/core/errors.ts";
import type { Subject, WireFault, WireReply, World } from "../subject.ts";
import { endOf, ok, requestFor, scene, tell, UNKNOWN } from "./scene.ts";

const html = (status: number, headers: Record<string, string> = {}): WireReply => ({
  status,
  headers: { "content-type": "text/html", ...headers },
  body: `<html><body>${status} by a proxy</body></html>`,
});

/** More than any answer may be (64 MiB). */
const TOO_MUCH = " ".repeat(65 * 1024 * 1024);

/** Faults that leave nothing behind that says whether the request was executed; each with whether it was. */
const LOST: readonly (readonly [what: string, applied: boolean, fault: WireFault])[] = [
  ["the connection is cut before it was executed", false, { disconnect: "before-executing" }],
  ["a proxy's 502 instead of executing it", false, { answer: html(502) }],
  ["a proxy's 504 instead of executing it", false, { answer: html(504) }],
  ["executed, then the connection is cut", true, { disconnect: "after-executing" }],
  ["executed, then cut in the middle of the answer", true, { disconnect: "while-answering" }],
  ["executed, then answered 502", true, { answer: () => html(502) }],
  ["executed, then answered 500", true, { answer: () => html(500) }],
  ["executed, and the success cannot be read", true, { answer: () => html(200) }],
  ["executed, and the success is no more than {}[", true, { answer: (real) => ({ ...real, body: "{}[" }) }],
  ["executed, and the success is too large", true, { answer: (real) => ({ ...real, body: real.body + TOO_MUCH }) }],
];

/** Every fault: what is sent is sent once, and every verdict is true. */
export function faults<Play extends World>(subject: Subject<Play>): void {
  describe("send-once", () => {
    test("without a fault: applied once, and the operation ends with the answer", () =>
      scene(subject, async (scene) => {
        const thing = scene.world.fresh();
        const { told, seen, again, mutations, applied } = await tell(scene, thing, undefined);
        expect(told).toMatchObject(ok(thing));
        expect(again).toEqual(told);
        expect(seen).toMatchObject({ state: "SUCCEEDED", outcome: "APPLIED", reason: undefined });
        expect(told.operation).toBe(seen.metadata.parent || seen.name);
        expect({ mutations, applied }).toEqual({ mutations: 1, applied: 1 });
      }));

    test("a slow answer is waited for", () =>
      scene(subject, async (scene) => {
        const thing = scene.world.fresh();
        const { told, seen, mutations, applied } = await tell(scene, thing, { delayBefore: 150, delayAfter: 150 });
        expect(told).toMatchObject(ok(thing));
        expect(seen).toMatchObject({ state: "SUCCEEDED", outcome: "APPLIED" });
        expect({ mutations, applied }).toEqual({ mutations: 1, applied: 1 });
      }));

    test.each(LOST)("%s", (_what, executed, fault) =>
      scene(subject, async (scene) => {
        const thing = scene.world.fresh();
        const { told, seen, again, mutations, applied } = await tell(scene, thing, fault);
        expect(told).toMatchObject(executed && subject.lostAnswer === "ok" ? ok(thing) : UNKNOWN);
        expect({ seen, again }).toMatchObject(endOf(subject, thing, executed));
        expect({ mutations, applied }).toEqual({ mutations: 1, applied: Number(executed) });
      }),
    );

    test("what was surely not applied frees its target; what nobody knows blocks it until it is resolved", () =>
      scene(subject, async ({ world, session }) => {
        const thing = world.fresh();
        const { seen } = await tell({ world, session }, thing, { disconnect: "before-executing" });
        if (seen.state === "UNRESOLVED") {
          for (const request of [requestFor(thing), { ...thing.request, validateOnly: true }]) {
            expect(await session.restart(request)).toMatchObject({
              code: "aborted",
              reason: "OPERATION_IN_PROGRESS",
              outcome: "not_applied",
              metadata: { operation: seen.name, state: "UNRESOLVED" },
            });
          }
          expect(world.mutations()).toBe(1);
          await session.service.resolveOperation({ name: seen.name, outcome: 2, note: "looked" });
        }
        expect(await session.restart(requestFor(thing))).toMatchObject(ok(thing));
        expect({ mutations: world.mutations(), applied: world.applied(thing) }).toEqual({ mutations: 2, applied: 1 });
      }));
  });
}

/** Answers that are refusals for sure: nothing was applied, the operation has failed, and its target is free. */
export function refusals<Play extends World>(subject: Subject<Play>): void {
  const { reply, reason, remembered = false } = subject.credentialsRefused;

  const refused = (
    fault: WireFault,
    expected: { code: string; reason: string; sent: number; details?: unknown },
    isRemembered = false,
  ) =>
    scene(subject, async ({ world, session }) => {
      const thing = world.fresh();
      const { sent, ...failure } = expected;
      const { told, seen, again, mutations, applied } = await tell({ world, session }, thing, fault);
      expect(told).toMatchObject({ ...failure, outcome: "not_applied" });
      expect(seen).toMatchObject({ state: "FAILED", outcome: "NOT_APPLIED", reason: failure.reason });
      expect(again).toMatchObject({ code: failure.code, reason: failure.reason, outcome: "not_applied" });
      expect({ mutations, applied }).toEqual({ mutations: sent, applied: 0 });
      const next = await session.restart(requestFor(thing));
      expect(next).toMatchObject(isRemembered ? { ...failure, outcome: "not_applied" } : ok(thing));
      expect(world.mutations()).toBe(isRemembered ? sent : sent + 1);
    });

  describe("refusals", () => {
    test("429: throttled, and when to ask again", () =>
      refused(
        { answer: { status: 429, headers: { "content-type": "text/plain", "retry-after": "3" }, body: "slower" } },
        {
          code: "resource_exhausted",
          reason: "THROTTLED",
          sent: 1,
          details: { "google.rpc.RetryInfo": { retryDelay: "3s" } },
        },
      ));

    test("our own credentials are refused: not the caller's matter", () =>
      refused({ answer: reply }, { code: "internal", reason, sent: 1 }, remembered));

    test("a redirect is not followed", async () => {
      await using elsewhere = await openTrap();
      const answer = html(307, { location: `${elsewhere.url}/elsewhere` });
      await refused({ answer }, { code: "internal", reason: "UPSTREAM_REDIRECT", sent: 1 });
      expect(elsewhere.visits).toEqual([]);
    });

    test.each([400, 403, 404, 409, 500])(
      "HTTP %i with an answer that quotes our credentials: nobody is shown them",
      (status) =>
        scene(subject, async ({ world, session }) => {
          const thing = world.fresh();
          const answer = (): WireReply => quoting(status, world.secrets.join(" and "));
          const { mutations } = await tell({ world, session }, thing, { answer });
          expect(mutations).toBe(1); // and the scene's end looks for the secrets
        }),
    );

    test("nobody is there: surely nothing was sent, and nothing is kept of it", () =>
      scene(subject, async ({ world, session }) => {
        const thing = world.fresh();
        await world.vanish();
        expect(REASONS[subject.unreachable]).toBe(REASONS.VENDOR_UNREACHABLE);
        expect(await session.restart(requestFor(thing))).toMatchObject({
          code: "unavailable",
          reason: subject.unreachable,
          outcome: "not_applied",
          operation: undefined,
          details: { "google.rpc.RetryInfo": { retryDelay: expect.any(String) } },
        });
        expect(await session.operationsOn(thing)).toEqual([]);
        expect(world.applied(thing)).toBe(0);
      }));
  });
}

/** An error in the shapes of all vendors, with a text in every place that is meant for people. */
const quoting = (status: number, text: string): WireReply => ({
  status,
  headers: { "content-type": "application/json", "x-request-id": "5f1d0e6a", warning: `299 - "${text}"` },
  body: JSON.stringify({
    kind: "Status",
    status: "Failure",
    message: text,
    error: { code: status, message: text, details: [text] },
    messages: [text],
    error_code: "X.1",
    error_msg: text,
    error_ext_msg: text,
    errCode: "X.1",
    externalMessage: text,
    errorCode: "X.1",
    errorMessage: text,
    detail: text,
  }),
});

/** A server where a redirect leads to: nobody may come. */
async function openTrap(): Promise<AsyncDisposable & { readonly url: string; readonly visits: string[] }> {
  const visits: string[] = [];
  const server = createServer(({ url }, response) => {
    visits.push(url ?? "");
    response.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    visits,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}
