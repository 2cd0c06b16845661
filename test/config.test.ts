import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRegistry } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Config as Sections } from "../gen/restart/config/v1/config_pb.ts";
import { ConfigSchema, file_restart_config_v1_config } from "../gen/restart/config/v1/config_pb.ts";
import { type Config, loadConfig, makeConfig } from "../src/config.ts";
import { ConfigError, type Problem } from "../src/core/problem.ts";
import { withDependencies } from "../src/core/schema.ts";
import type { SectionReader } from "../src/core/section-reader.ts";

const options = {
  validator: createValidator({ registry: createRegistry(...withDependencies([file_restart_config_v1_config])) }),
  readSections: (sections: Sections) => sections.kubernetes?.clusters.map(({ name }) => name),
};

/** Every section, in the order of the schema. */
const SECTIONS = ConfigSchema.fields.map(({ name }) => name).join(", ");

const CLUSTERS = "kubernetes: { clusters: [{ name: a, in_cluster: true }] }";

const NAME_RULE = "must be a configured cluster's name: printable ASCII characters without spaces, at most 253";

const TEN_MISTAKES = `# ten mistakes
listen: 10.0.0.1:8080
cros:
  allowed_origins: [http://localhost:5173, https://a/b]
deadline: { default: 60, max: 100000s }
kubernetes:
  field_manager: ""
  clusters:
    - { name: prod, kubeconfg: prod.kubeconfig }
    - name: prod 2
      in_cluster: yes
log_level: debug
`;

/** What is wrong, the file, and what is reported (the file's name left out). */
const MISTAKES: readonly (readonly [string, string, readonly string[]])[] = [
  ["an empty file", "", ["must have at least one target: kubernetes, arcgis or huaweicloud"]],
  ["a file that is no mapping", "- listen", [`1:1: must be a section with the keys ${SECTIONS}, but is a list`]],
  ["a syntax error, without its text", "password: 'hunter2\n", ["2:1: is not YAML: Missing closing 'quote"]],
  ["two documents", `${CLUSTERS}\n---\n${CLUSTERS}`, ["2:1: must hold one YAML document, not several"]],
  ["an unknown tag", `listen: !env LISTEN\n${CLUSTERS}`, ["1:9: is not YAML: Unresolved tag: !env"]],
  ["an unknown key", `${CLUSTERS}\nverbosity: 3`, [`2:1: verbosity: is not a known key; known here: ${SECTIONS}`]],
  [
    "a key in camelCase",
    `cors: { allowedOrigins: [http://a] }\n${CLUSTERS}`,
    ["1:9: cors.allowedOrigins: is not a known key; did you mean allowed_origins?"],
  ],
  [
    "a mistyped section, and what is wrong inside it",
    "kubernets: { clusters: [{ nmae: a b, in_cluster: true }] }",
    [
      "1:1: kubernets: is not a known key; did you mean kubernetes?",
      "1:27: kubernetes.clusters[0].nmae: is not a known key; did you mean name?",
      '1:33: kubernetes.clusters[0].name: must be a configured cluster\'s name: printable ASCII characters without spaces, at most 253, but is "a b"',
    ],
  ],
  [
    "a key that is not text",
    `${CLUSTERS}\n? [a, b]\n: 1`,
    [`1:1: must have only the keys ${SECTIONS}, but one of its keys is not text`],
  ],
  [
    "a key that stands twice",
    `listen: 127.0.0.1:1\n${CLUSTERS}\nlisten: 127.0.0.1:2`,
    ["3:1: listen: stands twice, first on line 1"],
  ],
  [
    "a merge key",
    `cors: { <<: { allowed_origins: [] } }\n${CLUSTERS}`,
    ["1:9: cors.<<: is not a known key; known here: allowed_origins"],
  ],
  [
    "a value where a section belongs, without the value",
    `cors: hunter2\n${CLUSTERS}`,
    ["1:7: cors: must be a section with the keys allowed_origins, but is a single value"],
  ],
  [
    "a section where a list belongs",
    `cors: { allowed_origins: { a: b } }\n${CLUSTERS}`,
    ["1:26: cors.allowed_origins: must be a list, but is a section"],
  ],
  [
    "a value where a list belongs",
    `cors: { allowed_origins: http://a }\n${CLUSTERS}`,
    ["1:26: cors.allowed_origins: must be a list, but is a single value"],
  ],
  [
    "a list where text belongs",
    `listen: [127.0.0.1, 80]\n${CLUSTERS}`,
    ["1:9: listen: must be text (in quotes where it looks like something else), but is a list"],
  ],
  [
    "a number where text belongs",
    `listen: 8080\n${CLUSTERS}`,
    ["1:9: listen: must be text (in quotes where it looks like something else), but is 8080"],
  ],
  [
    "no value where text belongs",
    `listen:\n${CLUSTERS}`,
    ["1:1: listen: must have a value: text (in quotes where it looks like something else)"],
  ],
  [
    "a number where a duration belongs",
    `deadline: { max: 60 }\n${CLUSTERS}`,
    ["1:18: deadline.max: must be a duration, such as 60s or 1h30m, but is 60"],
  ],
  [
    "a duration in another unit",
    `deadline: { max: 10min }\n${CLUSTERS}`,
    ['1:18: deadline.max: must be a duration, such as 60s or 1h30m, but is "10min"'],
  ],
  [
    "text where true or false belongs",
    "kubernetes: { clusters: [{ name: a, in_cluster: yes }] }",
    ['1:49: kubernetes.clusters[0].in_cluster: must be true or false, but is "yes"'],
  ],
  [
    "an unreadable item of a list, beside a wrong one",
    `cors: { allowed_origins: [5, null, http://A] }\n${CLUSTERS}`,
    [
      "1:27: cors.allowed_origins[0]: must be text (in quotes where it looks like something else), but is 5",
      "1:30: cors.allowed_origins[1]: must have a value: text (in quotes where it looks like something else)",
      '1:36: cors.allowed_origins[2]: must be an origin in lower case, scheme://host or scheme://host:port, without a path, but is "http://A"',
    ],
  ],
  [
    "a listen without a port",
    `listen: 127.0.0.1\n${CLUSTERS}`,
    ['1:9: listen: must be HOST:PORT, such as 127.0.0.1:8080, but is "127.0.0.1"'],
  ],
  [
    "a listen with a port out of range",
    `listen: 127.0.0.1:65536\n${CLUSTERS}`,
    ['1:9: listen: must be HOST:PORT, such as 127.0.0.1:8080, but is "127.0.0.1:65536"'],
  ],
  [
    "a listen beyond loopback",
    `listen: "[::]:80"\n${CLUSTERS}`,
    [
      '1:9: listen: must be a loopback address (127.0.0.0/8, [::1] or localhost) as long as calls are not authenticated, but is "[::]:80"',
    ],
  ],
  [
    "a host that only begins like loopback",
    `listen: 127.0.0.1.example.com:80\n${CLUSTERS}`,
    [
      '1:9: listen: must be a loopback address (127.0.0.0/8, [::1] or localhost) as long as calls are not authenticated, but is "127.0.0.1.example.com:80"',
    ],
  ],
  [
    "origins with a path, a wildcard, the default port, capitals, and no scheme",
    `cors:\n  allowed_origins:\n    - http://a/\n    - "*"\n    - https://a:443\n    - http://A\n    - localhost:5173\n    - http://u:hunter2@a\n${CLUSTERS}`,
    [
      '3:7: cors.allowed_origins[0]: must be an origin in lower case, scheme://host or scheme://host:port, without a path, but is "http://a/"',
      '4:7: cors.allowed_origins[1]: must be an origin in lower case, scheme://host or scheme://host:port, without a path, but is "*"',
      '5:7: cors.allowed_origins[2]: must leave out the port that is the default of its scheme, as browsers do, but is "https://a:443"',
      '6:7: cors.allowed_origins[3]: must be an origin in lower case, scheme://host or scheme://host:port, without a path, but is "http://A"',
      '7:7: cors.allowed_origins[4]: must be an origin in lower case, scheme://host or scheme://host:port, without a path, but is "localhost:5173"',
      '8:7: cors.allowed_origins[5]: must be an origin in lower case, scheme://host or scheme://host:port, without a path, but is "http://***@a"',
    ],
  ],
  [
    "an origin twice",
    `cors: { allowed_origins: [http://a, http://b, http://a] }\n${CLUSTERS}`,
    ["1:26: cors.allowed_origins: must not name an origin twice"],
  ],
  [
    "a deadline that is not positive, and one that is too long",
    `deadline: { default: 0s, max: 86401s }\n${CLUSTERS}`,
    [
      '1:22: deadline.default: must be greater than or equal to 0.001s and less than or equal to 86400s, but is "0s"',
      '1:31: deadline.max: must be greater than or equal to 0.001s and less than or equal to 86400s, but is "86401s"',
    ],
  ],
  [
    "a negative deadline",
    `deadline: { default: -1s }\n${CLUSTERS}`,
    ['1:22: deadline.default: must be greater than or equal to 0.001s and less than or equal to 86400s, but is "-1s"'],
  ],
  [
    "a default deadline longer than max",
    `deadline: { default: 90.5s, max: 90s }\n${CLUSTERS}`,
    ["1:11: deadline: must not have a default longer than max, but default is 90.500s and max 90s"],
  ],
  [
    "a default deadline longer than the default max",
    `deadline: { default: 601s }\n${CLUSTERS}`,
    ["1:11: deadline: must not have a default longer than max, but default is 601s and max 600s"],
  ],
  ["no target", "listen: 127.0.0.1:0", ["1:1: must have at least one target: kubernetes, arcgis or huaweicloud"]],
  [
    "a section with nothing in it",
    "kubernetes:",
    ["1:12: kubernetes.clusters: must have at least one cluster, and at most 1000"],
  ],
  [
    "no cluster",
    "kubernetes: { clusters: [] }",
    ["1:25: kubernetes.clusters: must have at least one cluster, and at most 1000"],
  ],
  [
    "a cluster without a name and without a source",
    "kubernetes:\n  clusters:\n    - context: a",
    [
      "3:7: kubernetes.clusters[0].name: must be set",
      "3:7: kubernetes.clusters[0]: must have kubeconfig or in_cluster",
    ],
  ],
  [
    "an empty name",
    'kubernetes: { clusters: [{ name: "", in_cluster: true }] }',
    ["1:34: kubernetes.clusters[0].name: must be set"],
  ],
  [
    "names that no request could carry",
    `kubernetes: { clusters: [{ name: a b, in_cluster: true }, { name: "ä", in_cluster: true }, { name: ${"x".repeat(254)}, in_cluster: true }] }`,
    [
      '1:34: kubernetes.clusters[0].name: must be a configured cluster\'s name: printable ASCII characters without spaces, at most 253, but is "a b"',
      '1:67: kubernetes.clusters[1].name: must be a configured cluster\'s name: printable ASCII characters without spaces, at most 253, but is "ä"',
      `1:100: kubernetes.clusters[2].name: must be a configured cluster's name: printable ASCII characters without spaces, at most 253, but is "${"x".repeat(100)}…"`,
    ],
  ],
  [
    "two sources of one cluster",
    "kubernetes:\n  clusters:\n    - name: a\n      kubeconfig: a\n      in_cluster: true",
    ["5:7: kubernetes.clusters[0].in_cluster: cannot stand beside kubeconfig (line 4)"],
  ],
  [
    "in_cluster: false",
    "kubernetes: { clusters: [{ name: a, in_cluster: false }] }",
    ["1:49: kubernetes.clusters[0].in_cluster: must be true, or left out, but is false"],
  ],
  [
    "a context without a kubeconfig",
    "kubernetes: { clusters: [{ name: a, in_cluster: true, context: b }] }",
    ["1:26: kubernetes.clusters[0]: must have a context only beside a kubeconfig"],
  ],
  [
    "an empty path and an empty context",
    'kubernetes: { clusters: [{ name: a, kubeconfig: "", context: "" }] }',
    [
      '1:49: kubernetes.clusters[0].kubeconfig: must be the path of a kubeconfig file, but is ""',
      '1:62: kubernetes.clusters[0].context: must be the name of a context, but is ""',
    ],
  ],
  [
    "a field_manager that is too long",
    `kubernetes: { field_manager: ${"x".repeat(129)}, clusters: [{ name: a, in_cluster: true }] }`,
    [`1:30: kubernetes.field_manager: must be 1 to 128 printable ASCII characters, but is "${"x".repeat(100)}…"`],
  ],
  [
    "a field_manager that is not printable",
    'kubernetes: { field_manager: "a\\tb", clusters: [{ name: a, in_cluster: true }] }',
    ['1:30: kubernetes.field_manager: must be 1 to 128 printable ASCII characters, but is "a\\tb"'],
  ],
];

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "restartd-config-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("loadConfig()", () => {
  it("takes the defaults for what the file does not say", () => {
    expect(load("kubernetes: { clusters: [{ name: here, in_cluster: true }] }")).toMatchObject({
      admin: undefined,
      drain: { delayMs: 0, limitMs: 30_000 },
      logLevel: "info",
      listen: { host: "127.0.0.1", port: 8080 },
      allowedOrigins: [],
      deadline: { defaultMs: 60_000, maxMs: 600_000 },
      store: { kind: "sqlite", path: join(folder, "restartd.db"), retentionMs: 2_592_000_000 },
      targets: ["here"],
      systems: ["kubernetes"],
      access: undefined,
      warnings: [],
    });
  });

  it("reads everything that the file says", () => {
    const text = `
      listen: "[::1]:0"
      cors: { allowed_origins: [http://localhost:5173, "https://[::1]:8443", chrome-extension://abc] }
      deadline: { default: 1.5s, max: 90s }
      store: { sqlite: { path: operations.db }, retention: 86400s }
      kubernetes:
        clusters:
          - &first { name: arn:aws:eks:eu-west-1:1:cluster/x, kubeconfig: a }
          - *first
      `;
    expect(load(text)).toMatchObject({
      listen: { host: "::1", port: 0 },
      allowedOrigins: ["http://localhost:5173", "https://[::1]:8443", "chrome-extension://abc"],
      deadline: { defaultMs: 1_500, maxMs: 90_000 },
      store: { kind: "sqlite", path: join(folder, "operations.db"), retentionMs: 86_400_000 },
      targets: ["arn:aws:eks:eu-west-1:1:cluster/x", "arn:aws:eks:eu-west-1:1:cluster/x"],
      systems: ["kubernetes"],
      access: undefined,
      warnings: [],
    });
  });

  it("shortens the default deadline to a shorter max", () => {
    expect(load(`deadline: { max: 10s }\n${CLUSTERS}`).deadline).toEqual({ defaultMs: 10_000, maxMs: 10_000 });
  });

  it.each([
    [":0", "127.0.0.1", 0],
    ["localhost:1", "localhost", 1],
    ["127.8.9.10:65535", "127.8.9.10", 65_535],
  ])("listens on %s", (listen, host, port) => {
    expect(load(`listen: "${listen}"\n${CLUSTERS}`).listen).toEqual({ host, port });
  });

  it.each(MISTAKES)("reports %s", (_, text, expected) => {
    const lines = mistakes(text).message.split("\n").slice(1);
    expect(lines.map((line) => line.replace(/^ {2}restartd\.yaml:/, "").trim())).toEqual(expected);
  });

  it("reads what watches over the process, and how it ends", () => {
    const text = `admin: { listen: "0.0.0.0:8081", allowed_hosts: [r.example.com] }\ndrain: { delay: 5s, limit: 0s }\nlog: { level: debug }\n${CLUSTERS}`;
    const { admin, drain, logLevel, sha256 } = load(text);
    expect({ admin, drain, logLevel }).toEqual({
      admin: { host: "0.0.0.0", port: 8081, allowedHosts: ["r.example.com"] },
      drain: { delayMs: 5000, limitMs: 0 },
      logLevel: "debug",
    });
    expect(sha256).toBe(createHash("sha256").update(text).digest("hex"));
  });

  it("reads where traces go", () => {
    writeFileSync(join(folder, "token"), "Bearer t\n");
    const text = (more: string) =>
      `telemetry: { traces: { otlp: { endpoint: "http://collector:4318/", headers: { Authorization: { file: token } } } ${more} }, resource: { a.b: c } }\n${CLUSTERS}`;
    const { traces } = load(text(", sample_ratio: 0, propagate: [dcs, kubernetes], targets: true"));
    expect(traces).toEqual({
      url: "http://collector:4318/v1/traces",
      headers: { authorization: expect.any(Function) },
      sampleRatio: 0,
      propagate: new Set(["dcs", "kubernetes"]),
      targets: true,
      resource: { "a.b": "c" },
    });
    expect(traces?.headers.authorization?.()).toBe("Bearer t");
    expect(load(text("")).traces).toMatchObject({ sampleRatio: 1, propagate: new Set(), targets: false });
    expect(load(`telemetry: { resource: { a: b } }\n${CLUSTERS}`).traces).toBeUndefined();
  });

  it.each([
    ["{ traces: {} }", "1:22: telemetry.traces.otlp: must be set"],
    [
      '{ traces: { otlp: { endpoint: "http://u:p@collector" } } }',
      '1:42: telemetry.traces.otlp.endpoint: must be http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH], without user, query or fragment, but is "http://***@collector"',
    ],
    ["{ traces: { otlp: { endpoint: 'grpc://c' } } }", "1:42: telemetry.traces.otlp.endpoint: must be http://"],
    ["{ traces: { otlp: { endpoint: 'http://c' }, sample_ratio: 1.1 } }", "must be from 0 to 1, but is 1.1"],
    ["{ traces: { otlp: { endpoint: 'http://c' }, propagate: [k8s] } }", "must be kubernetes, arcgis, cse, dcs or ddm"],
    [
      "{ traces: { otlp: { endpoint: 'http://c', headers: { Content-Type: { env: PATH } } } } }",
      "telemetry.traces.otlp.headers.Content-Type: must be the name of a header, other than those that say what a request is made of",
    ],
    [
      "{ traces: { otlp: { endpoint: 'http://c', headers: { authorization: Bearer-t0ps3cret } } } }",
      "telemetry.traces.otlp.headers.authorization: must be a section with the keys file, env, but is a single value",
    ],
    [
      "{ traces: { otlp: { endpoint: 'http://c', headers: { a: { file: nowhere } } } } }",
      'telemetry.traces.otlp.headers.a.file: must be a file with the secret in it, but "nowhere" cannot be read',
    ],
    [
      "{ traces: { otlp: { endpoint: 'http://c', headers: [a] } } }",
      "headers: must have a section for each of some names, or be left out, but is a list",
    ],
    [
      "{ resource: { a: 1 } }",
      "1:29: telemetry.resource.a: must be text (in quotes where it looks like something else), but is 1",
    ],
    ["{ resource: {} }", "telemetry.resource: must have a value for each of some names, or be left out, but is empty"],
    ["{ resource: { a: b, a: c } }", "1:32: telemetry.resource.a: stands twice, first on line 1"],
    ["{ resource: { 'A b': c } }", "must be the name of an attribute, such as deployment.environment.name"],
    ["{ resource: { [a]: c } }", "telemetry.resource: must have only names as keys"],
  ])("refuses telemetry: %s", (telemetry, why) => {
    const { message } = mistakes(`telemetry: ${telemetry}\n${CLUSTERS}`);
    expect(message).toMatch(/^1 mistake in the configuration:\n/);
    expect(message).toContain(why);
    expect(message).not.toContain("t0ps3cret");
  });

  it("reports ten mistakes together", () => {
    expect(mistakes(TEN_MISTAKES).message).toBe(
      [
        "10 mistakes in the configuration:",
        '  restartd.yaml:2:9: listen: must be a loopback address (127.0.0.0/8, [::1] or localhost) as long as calls are not authenticated, but is "10.0.0.1:8080"',
        "  restartd.yaml:3:1: cros: is not a known key; did you mean cors?",
        '  restartd.yaml:4:44: cors.allowed_origins[1]: must be an origin in lower case, scheme://host or scheme://host:port, without a path, but is "https://a/b"',
        "  restartd.yaml:5:22: deadline.default: must be a duration, such as 60s or 1h30m, but is 60",
        '  restartd.yaml:5:31: deadline.max: must be greater than or equal to 0.001s and less than or equal to 86400s, but is "100000s"',
        '  restartd.yaml:7:18: kubernetes.field_manager: must be 1 to 128 printable ASCII characters, but is ""',
        "  restartd.yaml:9:21: kubernetes.clusters[0].kubeconfg: is not a known key; did you mean kubeconfig?",
        '  restartd.yaml:10:13: kubernetes.clusters[1].name: must be a configured cluster\'s name: printable ASCII characters without spaces, at most 253, but is "prod 2"',
        '  restartd.yaml:11:19: kubernetes.clusters[1].in_cluster: must be true or false, but is "yes"',
        `  restartd.yaml:12:1: log_level: is not a known key; known here: ${SECTIONS}`,
      ].join("\n"),
    );
  });

  it("gives the problems as data, in the file's order", () => {
    const error = mistakes(`colour: red\nlisten: 8080\n`);
    expect(error.problems.map(({ line, column, field }) => [line, column, field])).toEqual([
      [1, 1, "colour"],
      [1, 1, ""],
      [2, 9, "listen"],
    ]);
  });

  it("judges --listen in place of listen", () => {
    const file = write(`listen: nonsense\n${CLUSTERS}`);
    expect(loadConfig(file, { ...options, listen: "127.0.0.1:0" }).listen.port).toBe(0);
    expect(() => loadConfig(file, { ...options, listen: "0.0.0.0:80" })).toThrow(
      new ConfigError([
        {
          file: undefined,
          line: undefined,
          column: undefined,
          field: "--listen",
          message:
            'must be a loopback address (127.0.0.0/8, [::1] or localhost) as long as calls are not authenticated, but is "0.0.0.0:80"',
        },
      ]),
    );
  });

  it("reports a file that cannot be read", () => {
    expect(() => loadConfig("no/such/file.yaml", options)).toThrow(
      "1 mistake in the configuration:\n  no/such/file.yaml: cannot be read: no such file or directory",
    );
  });
});

describe("makeConfig()", () => {
  it("judges sections that no file says like a file", () => {
    const make = () => ({ listen: "[::1]:1", kubernetes: { clusters: [{ name: "a b" }] } });
    expect(() => makeConfig(make, options)).toThrow(
      new ConfigError([
        problem("kubernetes.clusters[0].name", `${NAME_RULE}, but is "a b"`),
        problem("kubernetes.clusters[0]", "must have kubeconfig or in_cluster"),
      ]),
    );
  });

  it("keeps the warnings of whoever makes the sections and of whoever reads them", () => {
    const make = (reader: SectionReader) => {
      reader.warningElsewhere(problem("", "made"));
      return { kubernetes: { clusters: [{ name: "a", source: { case: "inCluster", value: true } as const }] } };
    };
    const readSections = (_: Sections, reader: SectionReader) => reader.warning(["kubernetes"], "read");
    expect(makeConfig(make, { ...options, readSections }).warnings).toEqual([
      problem("", "made"),
      problem("kubernetes", "read"),
    ]);
  });

  it("stops at a problem of whoever makes the sections", () => {
    const make = (reader: SectionReader) => {
      reader.problemElsewhere(problem("contexts", "gone"));
      return {};
    };
    expect(() => makeConfig(make, options)).toThrow("1 mistake in the configuration:\n  contexts: gone");
  });
});

function problem(field: string, message: string): Problem {
  return { file: undefined, line: undefined, column: undefined, field, message };
}

function load(text: string): Config<unknown> {
  return loadConfig(write(text), options);
}

/** The error that a file makes, its folder left out of the messages. */
function mistakes(text: string): ConfigError {
  try {
    load(text);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return new ConfigError(error.problems.map((each) => ({ ...each, file: each.file?.replace(`${folder}/`, "") })));
  }
  throw new Error("no mistake was found");
}

function write(text: string): string {
  const file = join(folder, "restartd.yaml");
  writeFileSync(file, text);
  return file;
}
