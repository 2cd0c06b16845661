import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { ErrorInfoSchema, PreconditionFailureSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { AccessService } from "../../gen/restart/access/v1/access_service_pb.ts";
import { Freeze_Source, FreezeService } from "../../gen/restart/access/v1/freeze_service_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { hashOf } from "../../src/access/tokens.ts";
import { startConfigured } from "../support/configured.ts";
import { temporaryFolder } from "../support/folder.ts";
import { runProgram, startProgram } from "../support/program.ts";

const WEB = {
  cluster: "sandbox",
  group: "apps",
  version: "v1",
  resource: "deployments",
  namespace: "shop",
  name: "web",
};
const SHOP = "clusters/sandbox/*/*/namespaces/shop/**";

const RULES = [
  { name: "restarters", permissions: ["kubernetes.workloads.*"], targets: ["**"] },
  { name: "team", groups: ["token:team"], permissions: ["freezes.create"], targets: [SHOP] },
  { name: "lead", groups: ["token:lead"], permissions: ["freezes.*"], targets: ["**"] },
  { name: "narrow", groups: ["token:narrow"], permissions: ["freezes.*"], targets: ["clusters/*"] },
];

const PEOPLE = ["dev", "team", "lead", "narrow"] as const;

async function start(freezes: readonly object[] = []) {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await temporaryFolder());
  const tokens = PEOPLE.map((name) => ({ name, sha256: hashOf(`rsd_${name}`), groups: [name] }));
  const file = await folder.write("tokens.yaml", stringify(tokens));
  const sections = { authentication: { tokens: { file } }, authorization: { rules: RULES }, freezes };
  const configured = stack.use(await startConfigured(sections));
  const parts = stack.move();
  return { configured, ...clientsOf(configured.program.url), [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

function clientsOf(baseUrl: string) {
  const transport: Transport = createConnectTransport({ baseUrl, httpVersion: "1.1" });
  return {
    freezes: createClient(FreezeService, transport),
    workloads: createClient(WorkloadService, transport),
    access: createClient(AccessService, transport),
    as: (name: (typeof PEOPLE)[number]) => ({ headers: { authorization: `Bearer rsd_${name}` } }),
  };
}

/** What a call is refused with. */
async function refusal(call: Promise<unknown>) {
  const error = ConnectError.from(
    await call.then(
      () => new ConnectError("it was not refused", Code.DataLoss),
      (reason: unknown) => reason,
    ),
  );
  const [info] = error.findDetails(ErrorInfoSchema);
  const violations = error
    .findDetails(PreconditionFailureSchema)
    .flatMap((one) => one.violations.map(({ type, subject, description }) => ({ type, subject, description })));
  return { code: Code[error.code], reason: info?.reason, metadata: info?.metadata, violations };
}

describe("a freeze", () => {
  it("keeps everybody from what it names, but not from answers, until it is lifted", async () => {
    await using started = await start();
    const { freezes, workloads, access, as, configured } = started;
    const requestId = "6f0a4c1e-9f0b-4a55-8a0e-0d7b5c1f2e11";
    await workloads.restart({ ...WEB, requestId }, as("dev"));
    const until = timestampFromMs(Math.ceil(Date.now() / 1000) * 1000 + 3_600_000);
    const made = { name: "incident-7", targets: [SHOP], until, message: "see INC-7", reason: "INC-7" };
    const freeze = await freezes.createFreeze(made, as("team"));
    expect(freeze).toMatchObject({ ...made, source: Freeze_Source.SWITCH, active: true, principal: "token:team" });

    const end = new Date(timestampMs(until)).toISOString();
    const frozen = {
      code: "FailedPrecondition",
      reason: "FROZEN",
      metadata: { freeze: "incident-7", until: end, overridable: "false", outcome: "not_applied" },
      violations: [{ type: "FROZEN", subject: "freezes/incident-7", description: `see INC-7; until ${end}` }],
    };
    expect(await refusal(workloads.restart(WEB, as("dev")))).toEqual(frozen);
    expect(await refusal(workloads.restart({ ...WEB, validateOnly: true }, as("dev")))).toEqual(frozen);
    // Who may override has to say so, and who says so has to be allowed to.
    expect(await refusal(workloads.restart({ ...WEB, overrideFreeze: true }, as("dev")))).toEqual(frozen);
    expect(await refusal(workloads.restart(WEB, as("lead")))).toEqual({
      ...frozen,
      metadata: { ...frozen.metadata, overridable: "true" },
    });
    expect(configured.patches()).toBe(1);
    await workloads.restart({ ...WEB, requestId }, as("dev")); // its answer is no restart
    expect(await workloads.getRollout(WEB, as("dev"))).toMatchObject({ name: "web" });
    expect(configured.patches()).toBe(1);
    await workloads.restart({ ...WEB, overrideFreeze: true }, as("lead"));
    expect(configured.patches()).toBe(2);
    const other = { ...WEB, namespace: "other", name: "none" };
    expect((await refusal(workloads.restart(other, as("dev")))).reason).toBe("TARGET_NOT_FOUND");

    const target = "clusters/sandbox/apps/v1/namespaces/shop/deployments/web";
    const checks = ["kubernetes.workloads.restart", "kubernetes.workloads.get"].map((permission) => ({
      permission,
      target,
    }));
    const { results } = await access.testPermissions({ checks }, as("dev"));
    expect(results.map((one) => one.frozen)).toEqual([true, false]);

    expect((await freezes.listFreezes({}, as("lead"))).freezes).toEqual([freeze]);
    expect((await refusal(freezes.listFreezes({}, as("team")))).reason).toBe("PERMISSION_DENIED");
    for (const person of ["dev", "team", "narrow"] as const) {
      expect((await refusal(freezes.liftFreeze({ name: "incident-7" }, as(person)))).reason).toBe("PERMISSION_DENIED");
    }
    // Whom no rule allows anything of it is told nothing of what there is, and nothing of its request is looked at.
    for (const name of ["incident-7", "no-such", "No Name"]) {
      for (const [call, permission] of [
        [() => freezes.liftFreeze({ name }, as("dev")), "freezes.lift"],
        [() => freezes.createFreeze({ name, targets: ["nonsense"] }, as("dev")), "freezes.create"],
      ] as const) {
        const { reason, metadata } = await refusal(call());
        const told = { permission, principal: "token:dev", outcome: "not_applied" };
        expect({ reason, metadata }).toEqual({ reason: "PERMISSION_DENIED", metadata: told });
      }
    }
    await freezes.liftFreeze({ name: "incident-7", reason: "over" }, as("lead"));
    expect((await refusal(freezes.liftFreeze({ name: "incident-7" }, as("lead")))).reason).toBe("FREEZE_NOT_FOUND");
    await workloads.restart(WEB, as("dev"));
    expect(configured.patches()).toBe(3);
  });

  it("is there after its server was killed", async () => {
    await using started = await start();
    const { configured, freezes, as } = started;
    await freezes.createFreeze({ name: "all", targets: ["**"] }, as("lead"));
    await configured.program.stop("SIGKILL");
    await using again = await startProgram(["--config", configured.file]);
    const { workloads } = clientsOf(again.url);
    expect((await refusal(workloads.restart(WEB, as("dev")))).reason).toBe("FROZEN");
    expect(configured.patches()).toBe(0);
  });

  it("is renewed by its name, and shortened by those alone who may lift it", async () => {
    await using started = await start([
      { name: "old", targets: ["**"], from: "2020-01-01T00:00:00Z", until: "2020-01-02T00:00:00Z" },
    ]);
    const { freezes, as } = started;
    const day = 24 * 3_600_000;
    const make = (part: object, person: (typeof PEOPLE)[number] = "team") =>
      freezes.createFreeze(
        { name: "a", targets: [SHOP], until: timestampFromMs(Date.now() + 2 * day), ...part },
        as(person),
      );
    await make({});
    await make({ until: timestampFromMs(Date.now() + 3 * day) });
    expect((await refusal(make({ until: timestampFromMs(Date.now() + day) }))).reason).toBe("PERMISSION_DENIED");
    const web = "clusters/sandbox/*/*/namespaces/shop/deployments/web";
    expect((await refusal(make({ targets: [web], until: timestampFromMs(Date.now() + 4 * day) }))).reason).toBe(
      "PERMISSION_DENIED",
    );
    await make({ until: timestampFromMs(Date.now() + day) }, "lead");
    // Without an end it ends all the same.
    const { until } = await freezes.createFreeze({ name: "b", targets: ["**"] }, as("lead"));
    expect(until && timestampMs(until) - Date.now()).toBeGreaterThan(29.9 * day);
    expect((await freezes.listFreezes({}, as("lead"))).freezes.map(({ name }) => name)).toEqual(["a", "b"]);
    for (const wrong of [
      { until: timestampFromMs(Date.now() + 31 * day) },
      { until: timestampFromMs(Date.now() - 1) },
      { targets: ["shop*"] },
      { targets: ["nothing/is/called/so"] },
      { name: "Black Friday" },
      { targets: [] },
    ]) {
      expect((await refusal(make(wrong, "lead"))).reason).toBe("INVALID_ARGUMENT");
    }
    // What is wider than a rule is not the rule's.
    expect((await refusal(make({ targets: ["clusters/**"] }, "narrow"))).reason).toBe("PERMISSION_DENIED");
    expect((await refusal(make({ targets: ["**"] }))).reason).toBe("PERMISSION_DENIED");
    expect((await refusal(make({ name: "old" }, "lead"))).reason).toBe("FREEZE_IS_CONFIGURED");
    expect((await refusal(freezes.liftFreeze({ name: "old" }, as("lead")))).reason).toBe("FREEZE_IS_CONFIGURED");
  });

  it("of the calendar is in force when it says so, and listed", async () => {
    await using started = await start([
      { name: "past", targets: ["**"], from: "2020-01-01T00:00:00Z", until: "2020-01-02T00:00:00Z" },
      { name: "now", targets: [SHOP], from: "2020-01-01T00:00:00Z", until: "2100-01-01T00:00:00Z", message: "a move" },
      { name: "elsewhere", targets: ["sites/**"], between: ["00:00", "23:59"] },
    ]);
    const { freezes, workloads, as, configured } = started;
    expect(await refusal(workloads.restart(WEB, as("dev")))).toMatchObject({
      reason: "FROZEN",
      metadata: { freeze: "now", until: "2100-01-01T00:00:00.000Z" },
      violations: [{ subject: "freezes/now", description: "a move; until 2100-01-01T00:00:00.000Z" }],
    });
    expect(configured.patches()).toBe(0);
    expect((await freezes.listFreezes({}, as("lead"))).freezes.map(({ name, source }) => [name, source])).toEqual([
      ["elsewhere", Freeze_Source.CONFIGURATION],
      ["now", Freeze_Source.CONFIGURATION],
    ]);
  });
});

it.each<[what: string, freeze: object, message: RegExp]>([
  ["until before from", { from: "2026-02-01T00:00:00Z", until: "2026-01-01T00:00:00Z" }, /until after from/],
  ["no end", { from: "2026-02-01T00:00:00Z" }, /either from and until/],
  [
    "both forms",
    { from: "2026-02-01T00:00:00Z", until: "2026-03-01T00:00:00Z", between: ["20:00", "06:00"] },
    /either/,
  ],
  ["neither form", {}, /either/],
  ["an unknown time zone", { between: ["20:00", "06:00"], time_zone: "Europe/Nowhere" }, /name of a time zone/],
  ["an unknown day", { between: ["20:00", "06:00"], days: ["monday"] }, /must be mon/],
  ["an unknown time", { between: ["20:00", "24:00"] }, /between 00:00 and 23:59/],
  ["no time between", { between: ["20:00", "20:00"] }, /two different times/],
  ["a wildcard in a segment", { between: ["20:00", "06:00"], targets: ["clusters/prod*"] }, /whole segment/],
  ["what nothing is called", { between: ["20:00", "06:00"], targets: ["cluster/**"] }, /able to match/],
])("a calendar with %s does not start", async (_, freeze, message) => {
  await using folder = await temporaryFolder();
  const arcgis = {
    sites: [{ name: "gis", admin_url: "https://gis.example.com/a/admin", username: "u", password: { env: "P" } }],
  };
  const file = await folder.write(
    "restartd.yaml",
    stringify({ arcgis, freezes: [{ name: "nights", targets: ["**"], ...freeze }] }),
  );
  const { code, stderr } = await runProgram(["--config", file], { P: "x" });
  expect(stderr).toMatch(message);
  expect(stderr).toMatch(/freezes\[0\]/);
  expect(code).toBe(2);
});
