import { describe, expect, test } from "vitest";
import { isDryRun, isWrite, type TappedAnswer } from "../../../support/wiretap.ts";
import { make, restart, SECRET, settledVersion, subjectOf, type TheWorld, targetOf } from "./world.ts";

/** A Status as the API server writes it; the planted secret stands wherever a vendor's text could hold one. */
const status = (code: number, message: string, reason?: string, details?: unknown): TappedAnswer => ({
  status: code,
  headers: { "content-type": "application/json", "audit-id": "11111111-2222-4333-8444-555555555555" },
  body: JSON.stringify({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message,
    ...(reason && { reason }),
    ...(details !== undefined && { details }),
    code,
  }),
});

const text = (code: number, body: string, headers: Record<string, string> = {}): TappedAnswer => ({
  status: code,
  headers: { "content-type": "text/plain; charset=utf-8", ...headers },
  body,
});

const leak = `Invalid value: "{\\"env\\":\\"${SECRET}\\"}"`;
const webhook = `admission webhook "v.example.com" denied the request`;
const vap = `ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no`;

/** Answers that prove that nothing was applied (contracts: kubernetes §6.2), and what is made of them. */
const refusals: readonly {
  readonly row: number;
  readonly what: string;
  readonly answer: TappedAnswer;
  readonly code: string;
  readonly reason: string;
  readonly sentence: string | RegExp;
  readonly metadata?: Record<string, string>;
  /** Type of the PreconditionFailure's violations; `ResourceInfo`; or seconds of a RetryInfo. */
  readonly beside?: "PreconditionFailure" | "ResourceInfo" | number;
}[] = [
  ...([400, 401, 403, 422] as const).map((code) => ({
    row: code === 401 ? 43 : 46,
    what: `a webhook denies with ${code}`,
    answer: status(
      code,
      `${webhook}: ${code}`,
      { 400: undefined, 401: "Unauthorized", 403: "Forbidden", 422: "Invalid" }[code],
    ),
    code: "FailedPrecondition",
    reason: "ADMISSION_DENIED",
    sentence: "admission webhook v.example.com denied the restart",
    metadata: { webhook: "v.example.com" },
    beside: "PreconditionFailure" as const,
  })),
  {
    row: 46,
    what: "a policy denies with 422",
    answer: status(422, `deployments.apps "web" is forbidden: ${vap}`, "Invalid", {
      name: "web",
      causes: [{ message: vap }],
    }),
    code: "FailedPrecondition",
    reason: "ADMISSION_DENIED",
    sentence: "ValidatingAdmissionPolicy p denied the restart",
    metadata: { policy: "p", binding: "b" },
    beside: "PreconditionFailure",
  },
  {
    row: 43,
    what: "a policy denies with 401",
    answer: status(401, `deployments.apps "web" is forbidden: ${vap}`, "Unauthorized"),
    code: "FailedPrecondition",
    reason: "ADMISSION_DENIED",
    sentence: "ValidatingAdmissionPolicy p denied the restart",
    metadata: { policy: "p", binding: "b" },
    beside: "PreconditionFailure",
  },
  {
    row: 47,
    what: "a webhook does not answer",
    answer: status(
      500,
      `Internal error occurred: failed calling webhook "v.example.com": failed to call webhook: Post "https://svc.ns.svc:443/v?timeout=10s": context deadline exceeded`,
      "InternalError",
      { causes: [{ message: "failed calling webhook" }] },
    ),
    code: "Unavailable",
    reason: "ADMISSION_WEBHOOK_UNAVAILABLE",
    sentence: "admission webhook v.example.com does not answer, so that nothing is admitted",
    metadata: { webhook: "v.example.com" },
    beside: 5,
  },
  {
    row: 48,
    what: "a quota forbids",
    answer: status(403, `deployments.apps "web" is forbidden: exceeded quota: q, requested: pods=1`, "Forbidden", {
      name: "web",
    }),
    code: "FailedPrecondition",
    reason: "ADMISSION_DENIED",
    sentence: "the API server's admission forbids the restart (a quota, Pod Security, or a policy)",
    beside: "PreconditionFailure",
  },
  {
    row: 50,
    what: "409",
    answer: status(
      409,
      `Operation cannot be fulfilled on deployments.apps "web": the object has been modified`,
      "Conflict",
    ),
    code: "Aborted",
    reason: "CONFLICT",
    sentence: /was changed at the same time; the restart was not applied$/,
    beside: 1,
  },
  {
    row: 51,
    what: "429 of API Priority and Fairness",
    answer: text(429, "Too many requests, please try again later.\n", {
      "retry-after": "7",
      "x-kubernetes-pf-flowschema-uid": "f",
    }),
    code: "ResourceExhausted",
    reason: "THROTTLED",
    sentence: "the API server has too many requests (API Priority and Fairness)",
    metadata: { flow_schema_uid: "f" },
    beside: 7,
  },
  {
    row: 51,
    what: "429 whose Retry-After is a date",
    answer: text(429, "Too many requests, please try again later.\n", {
      "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT",
    }),
    code: "ResourceExhausted",
    reason: "THROTTLED",
    sentence: "the API server has too many requests (API Priority and Fairness)",
    beside: 1,
  },
  {
    row: 52,
    what: "429 while shutting down",
    answer: text(429, "The apiserver is shutting down, please try again later.\n", { "retry-after": "5" }),
    code: "Unavailable",
    reason: "CLUSTER_NOT_READY",
    sentence: "the API server is shutting down",
    beside: 5,
  },
  {
    row: 52,
    what: "503 while starting",
    answer: status(
      503,
      "the request has been made before all known HTTP paths have been installed, please try again",
      "ServiceUnavailable",
      { retryAfterSeconds: 3 },
    ),
    code: "Unavailable",
    reason: "CLUSTER_NOT_READY",
    sentence: "the API server is starting",
    beside: 3,
  },
  {
    row: 40,
    what: "an older server's refusal to impersonate",
    answer: status(
      403,
      `users "alice" is forbidden: User "system:serviceaccount:r:agent" cannot impersonate resource "users" in API group "" at the cluster scope`,
      "Forbidden",
      { name: "alice", kind: "users" },
    ),
    code: "Internal",
    reason: "IMPERSONATION_DENIED",
    sentence: "restartd's own account may not impersonate; its operator has to grant it that",
  },
  {
    row: 13,
    what: "405",
    answer: status(405, "the server does not allow this method on the requested resource", "MethodNotAllowed", {}),
    code: "FailedPrecondition",
    reason: "RESTART_NOT_SUPPORTED",
    sentence: /^cluster patcher: the API server does not let anybody patch /,
    beside: "PreconditionFailure",
  },
  ...[
    status(413, "Request entity too large: limit is 3145728", "RequestEntityTooLarge"),
    status(500, "etcdserver: request is too large"),
  ].map((answer) => ({
    row: 67,
    what: `${answer.status}: the object is too large`,
    answer,
    code: "ResourceExhausted",
    reason: "OBJECT_TOO_LARGE",
    sentence: /is too large for the cluster's store to be written again$/,
  })),
  ...[301, 302, 307, 308].map((code) => ({
    row: 68,
    what: `${code}`,
    answer: { status: code, headers: { location: "/stolen" }, body: "" },
    code: "Internal",
    reason: "UPSTREAM_REDIRECT",
    sentence: "the answer is a redirect, which is never followed; check the cluster's server address",
  })),
  ...[
    status(415, "the body of the request was in an unknown format", "UnsupportedMediaType"),
    status(400, "something new", "Bizarre"),
    status(418, "something newer", "Teapot"),
  ].map((answer) => ({
    row: 73,
    what: `${answer.status}, a reason that is not known`,
    answer,
    code: "InvalidArgument",
    reason: "VENDOR_REFUSED_REQUEST",
    sentence: "the API server refused the request as wrong, where nothing wrong is known of it",
  })),
  {
    row: 73,
    what: "403, a reason that is not known",
    answer: status(403, "something else is new", "Bizarre"),
    code: "FailedPrecondition",
    reason: "ADMISSION_DENIED",
    sentence: "the API server's admission forbids the restart (a quota, Pod Security, or a policy)",
    beside: "PreconditionFailure",
  },
];

/** Rows 40, 43, 46 to 52, 65, 67, 68, 70, 71 and 73, by the literal bodies of the contract. */
export function admissionRows(world: TheWorld): void {
  describe("refusals", () => {
    test.each(refusals)("row $row: $what", async ({ answer, code, reason, sentence, metadata, beside }) => {
      const object = await make(world(), "deployments");
      const { tap, tapped } = world();
      const before = await object.generation();
      for (const validateOnly of [false, true]) {
        tap.on(
          ({ method }) => method === "PATCH",
          () => answer,
        );
        const told = await restart(tapped, { ...object.ref, validateOnly });
        const words = typeof sentence === "string" ? `cluster patcher: ${sentence}` : expect.stringMatching(sentence);
        expect(told).toMatchObject({ code, reason, outcome: "not_applied", message: words });
        expect(told.metadata).toMatchObject({
          cluster: "patcher",
          vendor_http_status: String(answer.status),
          ...metadata,
        });
        if (typeof beside === "number") {
          expect(told.details).toEqual({ RetryInfo: { retryDelay: `${beside}s` } });
        } else if (beside === "PreconditionFailure") {
          const description = (told.message ?? "").replace("cluster patcher: ", "");
          const violations = [{ type: reason, subject: subjectOf(object.ref), description }];
          expect(told.details).toEqual({ PreconditionFailure: { violations } });
        } else {
          expect(told.details).toEqual({});
        }
      }
      expect(tap.writes).toHaveLength(1);
      expect(tap.requests.filter(isDryRun)).toHaveLength(1);
      expect(tap.requests.some(({ path }) => path === "/stolen")).toBe(false);
      expect(await object.generation()).toBe(before);
    });

    test.each(refusals.filter(({ row }) => [50, 51, 52].includes(row)))(
      "row $row: $what: the next call succeeds",
      async ({ answer }) => {
        const object = await make(world(), "deployments");
        world().tap.on(isWrite, () => answer);
        expect((await restart(world().tapped, object.ref)).outcome).toBe("not_applied");
        expect(await restart(world().tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
        expect(world().tap.applicable).toHaveLength(1 + Number(answer.status >= 500));
      },
    );

    test("row 49: an object that is invalid as it stands: the fields are told, their values are not", async () => {
      const { ref } = await make(world(), "deployments");
      const causes = [
        { reason: "FieldValueInvalid", message: leak, field: "spec.template.spec.containers[0].env" },
        { reason: "FieldValueRequired", message: `Required value: ${SECRET}`, field: "spec.x" },
      ];
      const message = `Deployment.apps "web" is invalid: [spec.template.spec.containers[0].env: ${leak}, spec.x: Required value]`;
      world().tap.on(isWrite, () => status(422, message, "Invalid", { name: "web", causes }));
      expect(await restart(world().tapped, ref)).toMatchObject({
        code: "FailedPrecondition",
        reason: "OBJECT_INVALID",
        outcome: "not_applied",
        message: `cluster patcher: ${subjectOf(ref)} does not pass the API server's validation as it stands; its owner has to mend it`,
        details: {
          PreconditionFailure: {
            violations: [
              {
                type: "OBJECT_INVALID",
                subject: subjectOf(ref),
                description: "spec.template.spec.containers[0].env: FieldValueInvalid",
              },
              { type: "OBJECT_INVALID", subject: subjectOf(ref), description: "spec.x: FieldValueRequired" },
            ],
          },
        },
      });
      expect(world().tap.writes).toHaveLength(1);
    });

    test("row 35: a server that says itself that the uid is another", async () => {
      const { ref } = await make(world(), "deployments");
      const causes = [{ reason: "FieldValueInvalid", message: `${leak}: field is immutable`, field: "metadata.uid" }];
      world().tap.on(isWrite, () =>
        status(422, `Deployment.apps "web" is invalid: metadata.uid: ${leak}`, "Invalid", { causes }),
      );
      expect(await restart(world().tapped, ref)).toMatchObject({
        code: "Aborted",
        reason: "OBJECT_REPLACED",
        outcome: "not_applied",
        details: { ResourceInfo: { resourceName: targetOf(ref) } },
      });
    });

    test("row 65: validate_only makes one dry run with the restart's own checks, and changes nothing", async () => {
      const object = await make(world(), "deployments", { spec: { replicas: 0 } });
      const { tap, tapped } = world();
      const { resourceVersion } = await settledVersion(object.read);
      expect(await restart(tapped, { ...object.ref, validateOnly: true })).toEqual({
        code: "ok",
        warnings: ["NO_REPLICAS"],
      });
      expect(tap.writes).toEqual([]);
      const [dry] = tap.requests.filter(isDryRun);
      expect(Object.fromEntries(dry?.query ?? [])).toMatchObject({
        dryRun: "All",
        fieldManager: "restartd",
        fieldValidation: "Strict",
      });
      expect((await object.read()).metadata.resourceVersion).toBe(resourceVersion);
      expect(tapped.calls.at(-1)?.outcome).toBe("not_applied");
    });

    test("row 65: validate_only is judged as the restart is: by who may patch", async () => {
      const { ref } = await make(world(), "deployments");
      const reasons: (string | undefined)[] = [];
      for (const cluster of ["patcher", "blind", "reader", "nobody", "intruder"]) {
        const told = await restart(world().tapped, { ...ref, cluster, validateOnly: true });
        reasons.push(told.reason ?? [told.code, ...told.warnings].join(" "));
      }
      expect(reasons).toEqual([
        "ok",
        "ok PREFLIGHT_SKIPPED",
        "RBAC_DENIED",
        "RBAC_DENIED",
        "CLUSTER_CREDENTIALS_REJECTED",
      ]);
      expect(world().tap.writes).toEqual([]);
    });

    test("row 65: a webhook that does not support dry runs", async () => {
      const { ref } = await make(world(), "deployments");
      world().tap.on(isDryRun, () =>
        status(400, `admission webhook "v.example.com" does not support dry run`, "BadRequest"),
      );
      expect(await restart(world().tapped, { ...ref, validateOnly: true })).toMatchObject({
        code: "FailedPrecondition",
        reason: "DRY_RUN_UNSUPPORTED",
        outcome: "not_applied",
        metadata: { webhook: "v.example.com" },
        details: { PreconditionFailure: { violations: [{ type: "DRY_RUN_UNSUPPORTED", subject: subjectOf(ref) }] } },
      });
      expect(world().tap.writes).toEqual([]);
    });

    test.each([
      ["a cut connection", undefined, "CLUSTER_UNREACHABLE"],
      ["504", text(504, "gateway timeout"), "CLUSTER_UNREACHABLE"],
      ["503", text(503, "service unavailable"), "CLUSTER_NOT_READY"],
      ["500", status(500, "etcdserver: request timed out"), "VENDOR_INTERNAL_ERROR"],
      ["an answer that is none", text(200, `<html>${SECRET}</html>`), "VENDOR_BAD_RESPONSE"],
    ])("row 65: validate_only and %s: nothing was changed, whatever happened", async (_what, answer, reason) => {
      const { ref } = await make(world(), "deployments");
      world().tap.on(isDryRun, () => answer);
      expect(await restart(world().tapped, { ...ref, validateOnly: true })).toMatchObject({
        reason,
        outcome: "not_applied",
      });
      expect(world().tap.writes).toEqual([]);
    });

    const edited = (answer: TappedAnswer, edit: (object: Record<string, never>) => void): TappedAnswer => {
      const object = JSON.parse(answer.body ?? "");
      edit(object);
      return { ...answer, body: JSON.stringify(object) };
    };

    test("row 70: an answer without the value", async () => {
      const { ref } = await make(world(), "deployments");
      const strip = (object: { spec?: { template: { metadata: { annotations?: unknown } } } }) => {
        delete object.spec?.template.metadata.annotations;
      };
      world().tap.on(isWrite, async (_request, forward) => edited(await forward(), strip));
      const description = `the restart of ${subjectOf(ref)} was taken out again on its way (a mutating webhook), so that nothing restarts`;
      expect(await restart(world().tapped, ref)).toMatchObject({
        code: "FailedPrecondition",
        reason: "ANNOTATION_STRIPPED",
        outcome: "not_applied",
        details: {
          PreconditionFailure: { violations: [{ type: "ANNOTATION_STRIPPED", subject: subjectOf(ref), description }] },
        },
      });
      expect(world().tap.writes).toHaveLength(1);
    });

    test("row 71: a warning of the API server is told of by its token", async () => {
      const { ref } = await make(world(), "deployments");
      const warning = `299 - "mind ${SECRET}"`;
      const warned = async (_request: unknown, forward: () => Promise<TappedAnswer>) => {
        const answer = await forward();
        return { ...answer, headers: { ...answer.headers, warning } };
      };
      world().tap.on(({ method }) => method === "PATCH", warned, 2);
      expect(await restart(world().tapped, ref)).toEqual({ code: "ok", warnings: ["SERVER_WARNING"] });
      expect(await restart(world().tapped, { ...ref, validateOnly: true })).toEqual({
        code: "ok",
        warnings: ["SERVER_WARNING"],
      });
      expect(world().tapped.calls.at(-1)?.serverWarning).toBe(warning); // for the log
    });

    test("row 71: a warning of an unknown field says that there is nothing to restart", async () => {
      const { ref } = await make(world(), "deployments");
      world().tap.on(isWrite, async (_request, forward) => {
        const answer = await forward();
        const object = { ...JSON.parse(answer.body ?? ""), spec: {} };
        return {
          ...answer,
          body: JSON.stringify(object),
          headers: { warning: '299 - "unknown field \\"spec.template\\""' },
        };
      });
      expect(await restart(world().tapped, ref)).toMatchObject({
        code: "FailedPrecondition",
        reason: "RESTART_NOT_SUPPORTED",
        message: `${subjectOf(ref)} has no field for a restart`,
      });
    });
  });
}
