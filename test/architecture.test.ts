import { globSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const files = globSync("src/**/*.{ts,tsx}").sort();
const text = new Map(files.map((file) => [file, readFileSync(file, "utf8")]));

/** Modules that a file imports, relative ones as paths from the root; `dynamic` ones are loaded when they are used. */
function importsOf(file: string): { module: string; dynamic: boolean; type: boolean }[] {
  const source = text.get(file) ?? "";
  const pattern = /(?:^|\n)(import|export)( type)?[^;"]*?from "([^"]+)"|import\("([^"]+)"\)/g;
  return [...source.matchAll(pattern)].map(([, , type, fixed, dynamic]) => ({
    module: resolve(file, fixed ?? dynamic ?? ""),
    dynamic: dynamic !== undefined,
    type: type !== undefined,
  }));
}

const resolve = (file: string, module: string): string =>
  module.startsWith(".") ? new URL(module, `file:///${file}`).pathname.slice(1) : module;

/** Who stands above whom (docs: the README's tree). A file imports from its own layer's folder or from a lower layer. */
const LAYERS: readonly (readonly [layer: string, files: RegExp])[] = [
  ["console", /^src\/console\//],
  ["main", /^src\/(main|heap|program)\.ts$/],
  ["client", /^src\/client\.ts$/],
  ["cli", /^src\/cli\.ts$/],
  ["commands", /^src\/commands\//],
  ["sandbox", /^src\/sandbox\//],
  ["serve", /^src\/serve\.ts$/],
  ["server", /^src\/(server|admin|telemetry)\//],
  ["stores", /^src\/operations\/store\/(sqlite|postgres)\//],
  ["operations", /^src\/operations\//],
  ["services", /^src\/(access|interceptors|health|reflection)\//],
  ["list", /^src\/targets\/(index|commands)\.ts$/],
  ["targets", /^src\/targets\/[^/]+\//],
  ["clouds", /^src\/clouds\//],
  ["config", /^src\/config(\.ts$|\/)/],
  ["core", /^src\/core\//],
  ["gen", /^gen\//],
];

/** The rooms of the larger folders, from the top: a room imports from those after it. */
const ROOMS: readonly (readonly [folder: string, rooms: readonly string[]])[] = [
  ["src/operations/", ["rpc", "calls", "reconcile", "records", "store"]],
  ["src/targets/kubernetes/", ["simulator", "restart", "rollout", "cluster", "workload"]],
];

const layerOf = (file: string): number => LAYERS.findIndex(([, pattern]) => pattern.test(file));

const edges = files.flatMap((file) =>
  importsOf(file)
    .filter(({ module }) => /^(src|gen)\//.test(module))
    .map((edge) => ({ file, ...edge })),
);

describe("architecture", () => {
  it("knows the layer of every file", () => {
    expect(files.filter((file) => layerOf(file) === -1)).toEqual([]);
  });

  it("imports downward", () => {
    const upward = edges.filter(({ file, module, dynamic }) => layerOf(module) < layerOf(file) && !dynamic);
    expect(upward.map(({ file, module }) => `${file} -> ${module}`)).toEqual([]);
  });

  it("keeps targets, stores, access, interceptors, health and reflection from each other", () => {
    const room = (file: string) =>
      /^src\/(targets\/[^/]+|operations\/store\/(?:sqlite|postgres)|access|interceptors|health|reflection)\//.exec(
        file,
      )?.[1];
    const sideways = edges.filter(({ file, module }) => {
      const [from, to] = [room(file), room(module)];
      return from !== undefined && to !== undefined && from !== to;
    });
    expect(sideways.map(({ file, module }) => `${file} -> ${module}`)).toEqual([]);
  });

  it("has no two files that import each other", () => {
    const pairs = edges.filter(({ file, module }) =>
      edges.some((other) => file < module && other.file === module && other.module === file),
    );
    expect(pairs.map(({ file, module }) => `${file} <-> ${module}`)).toEqual([]);
  });

  it.each(ROOMS)("imports one way between the rooms of %s", (folder, rooms) => {
    const roomOf = (file: string) => (file.startsWith(folder) ? (file.slice(folder.length).split("/")[0] ?? "") : "");
    const upward = edges.filter(({ file, module, dynamic }) => {
      const [from, to] = [rooms.indexOf(roomOf(file)), rooms.indexOf(roomOf(module))];
      return from !== -1 && to !== -1 && to < from && !dynamic;
    });
    expect(upward.map(({ file, module }) => `${file} -> ${module}`)).toEqual([]);
    const unknown = files.filter((file) => file.startsWith(folder) && file.slice(folder.length).includes("/"));
    expect(unknown.filter((file) => !rooms.includes(roomOf(file)))).toEqual([]);
  });

  it("keeps the console from the server: both know the messages, and how to show what others wrote", () => {
    const others = edges.filter(
      ({ file, module }) =>
        file.startsWith("src/console/") && !/^(src\/console\/|gen\/)|^src\/core\/(plain|warnings)\.ts$/.test(module),
    );
    expect(others.map(({ file, module }) => `${file} -> ${module}`)).toEqual([]);
    expect(edges.filter(({ file, module }) => /^src\/console\//.test(module) && !/^src\/console\//.test(file))).toEqual(
      [],
    );
  });

  it("lets the console's lists alone name its targets, which know nothing of each other", () => {
    const targetOf = (file: string) => /^src\/console\/targets\/([^/]+)\//.exec(file)?.[1];
    const naming = edges.filter(({ file, module }) => {
      const [from, to] = [targetOf(file), targetOf(module)];
      return to !== undefined && from !== to && !/^src\/console\/targets\/(index|names)\.ts$/.test(file);
    });
    expect(naming.map(({ file, module }) => `${file} -> ${module}`)).toEqual([]);
  });

  it("keeps operations and targets from each other: what they share is core/operation.ts", () => {
    const across = edges.filter(
      ({ file, module }) =>
        (/^src\/operations\//.test(file) && /^(src\/targets\/|gen\/restart\/(?!operation\/))/.test(module)) ||
        (/^src\/targets\//.test(file) && /^src\/operations\//.test(module)),
    );
    expect(across.map(({ file, module }) => `${file} -> ${module}`)).toEqual([]);
  });

  it("loads a store when it is used, never before", () => {
    const fixed = edges.filter(
      ({ file, module, dynamic, type }) =>
        /^src\/operations\/store\/(sqlite|postgres)\//.test(module) &&
        !/^src\/operations\/store\/(sqlite|postgres)\//.test(file) &&
        !dynamic &&
        !type,
    );
    expect(fixed.map(({ file, module }) => `${file} -> ${module}`)).toEqual([]);
  });

  it("loads what makes traces when it is used, never before", () => {
    const fixed = edges.filter(
      ({ file, module, dynamic }) => /^src\/telemetry\//.test(module) && !/^src\/telemetry\//.test(file) && !dynamic,
    );
    expect(fixed.map(({ file, module }) => `${file} -> ${module}`)).toEqual([]);
  });

  it("lets targets/index.ts alone name a target", () => {
    const targets = new Set(globSync("src/targets/*/index.ts").map((file) => file.split("/")[2] ?? ""));
    const naming = files
      .filter((file) => !file.startsWith("src/targets/"))
      .filter((file) =>
        importsOf(file).some(({ module }) => targets.has(/^src\/targets\/([^/]+)\//.exec(module)?.[1] ?? "")),
      );
    expect(naming).toEqual([]);
  });

  it("keeps the client small: it brings nothing of a server along, and a target's words need messages alone", () => {
    const imports = (from: RegExp, allowed: RegExp) =>
      edges
        .filter(({ file, module }) => from.test(file) && !allowed.test(module))
        .map(({ file, module }) => `${file} -> ${module}`);
    const words = /^src\/(targets\/[^/]+|clouds\/huawei)\/command\.ts$/;
    expect(files.filter((file) => words.test(file)).length).toBeGreaterThan(4);
    expect(imports(words, /^(gen|src\/core)\/|^src\/clouds\/[^/]+\/command\.ts$/)).toEqual([]);
    expect(imports(/^src\/targets\/commands\.ts$/, new RegExp(`${words.source}|^src/core/`))).toEqual([]);
    const ofServer = /^src\/commands\/(check|token|policy)\.ts$/;
    const client = files.filter((file) => /^src\/(commands\/|client\.ts)/.test(file) && !ofServer.test(file));
    const allowed = /^(gen|src\/(core|config|commands))\/|^src\/targets\/commands\.ts$/;
    for (const file of client) expect(imports(new RegExp(`^${file}$`), allowed)).toEqual([]);
  });

  it.each(globSync("src/targets/*/index.ts"))("finds words for the command line beside %s", (index) => {
    expect(files).toContain(index.replace(/index\.ts$/, "command.ts"));
  });

  it("loads simulators when they are used, never before", () => {
    const fixed = edges.filter(
      ({ file, module, dynamic, type }) =>
        /\/simulator(\.ts|\/)/.test(module) && !/\/simulator(\.ts$|\/)/.test(file) && !dynamic && !type,
    );
    expect(fixed.map(({ file, module }) => `${file} -> ${module}`)).toEqual([]);
  });

  it.each(globSync("src/targets/*/index.ts"))("finds the same names beside %s", (index) => {
    for (const name of ["service", "client", "config", "errors", "simulator"]) {
      expect(files).toContain(index.replace(/index\.ts$/, `${name}.ts`));
    }
  });

  it("keeps libraries in their places", () => {
    const PLACES: readonly (readonly [library: RegExp, places: RegExp, why: string])[] = [
      [
        /^openid-client/,
        /^src\/targets\/kubernetes\/cluster\/oidc\.ts$/,
        "kubeconfigs alone name an OIDC provider as a user's",
      ],
      [
        /^undici/,
        /^src\/(clouds\/http|targets\/kubernetes\/cluster\/(transport|oidc|fresh-pool))\.ts$/,
        "requests to vendors are made in one place each",
      ],
      [/^@opentelemetry/, /^src\/telemetry\//, "who is traced does not know by what"],
      [/^prom-client/, /^src\/admin\//, "who counts does not know who reads"],
      [/^(preact|@connectrpc\/connect-web)/, /^src\/console\//, "the server draws nothing"],
      [/^pino/, /^src\/server\/log\.ts$/, "one log"],
      [/^kysely/, /^src\/operations\//, "operations alone are stored"],
      [/^node:sqlite/, /^src\/operations\/store\/sqlite\//, "what is SQLite's way stands in one place"],
      [/^(pg)(\/|$)/, /^src\/operations\/store\/postgres\//, "what is PostgreSQL's way stands in one place"],
      [
        /^yaml/,
        /^src\/(config\/|commands\/yaml\.ts|targets\/kubernetes\/(cluster\/kubeconfig-yaml|simulator))/,
        "configuration",
      ],
      [
        /^node:(http2?|net)$/,
        /^src\/(server\/|admin\/|targets\/[^/]+\/simulator|clouds\/simulator\/|targets\/kubernetes\/cluster\/(environment-proxy|in-cluster)\.ts)/,
        "servers listen in the server's folder and in simulators",
      ],
    ];
    const misplaced = files.flatMap((file) =>
      importsOf(file)
        .filter(
          ({ module, type }) => !type && PLACES.some(([library, places]) => library.test(module) && !places.test(file)),
        )
        .map(({ module }) => `${file} -> ${module}`),
    );
    expect(misplaced).toEqual([]);
  });

  it("takes time, chance and ids from outside but for the edges", () => {
    const pattern = /globalThis\.fetch|Date\.now\(\)|new Date\(\)|randomUUID\(|Math\.random\(/;
    const free =
      /^src\/(serve|main|program|cli|client|console\/browser)\.ts$|\/simulator(\.ts$|\/)|^src\/server\/log\.ts$/;
    expect(files.filter((file) => !free.test(file) && pattern.test(text.get(file) ?? ""))).toEqual([]);
  });

  it("keeps files at most 400 lines long", () => {
    const long = files.filter((file) => (text.get(file) ?? "").split("\n").length > 401);
    expect(long).toEqual([]);
  });

  it("keeps a component to a screen or two", () => {
    const long = files.filter((file) => file.endsWith(".tsx") && (text.get(file) ?? "").split("\n").length > 151);
    expect(long).toEqual([]);
  });

  it("documents what it exports", () => {
    const bare = files.flatMap((file) =>
      [
        ...(text.get(file) ?? "").matchAll(
          /(?<before>[^\n]*)\nexport (?:async )?(?:const|function\*?|class|interface|type) (?<name>\w+)/g,
        ),
      ]
        .filter(({ groups }) => !/\*\/\s*$|^\): |;$/.test(groups?.before ?? ""))
        .map(({ groups }) => `${file}: ${groups?.name}`),
    );
    expect(bare).toEqual([]);
  });
});
