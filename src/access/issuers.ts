import { createRegistry } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import type {
  ClaimPath,
  ClaimRule,
  IssuerKeys,
  Issuer as Section,
} from "../../gen/restart/config/v1/authentication_pb.ts";
import { readCaFile } from "../clouds/ca-file.ts";
import type { FieldPath } from "../core/problem.ts";
import type { SectionReader } from "../core/section-reader.ts";
import { uniqueKeys } from "../core/unique-keys.ts";
import { ANY, type Scope } from "./check.ts";
import { compileExpression } from "./expression.ts";
import { createFetchKeys, type KeySource } from "./fetch-keys.ts";
import type { Issuer, IssuerRules } from "./jwt.ts";
import { createKeys } from "./keys.ts";

/** An issuer as the configuration has it. */
export interface IssuerSettings extends IssuerRules {
  readonly source: KeySource;
  readonly ca: string | undefined;
}

const DEFAULTS = { algorithms: ["RS256", "ES256"], maxLifetimeMs: 24 * 3_600_000, clockSkewMs: 30_000 };

/** Issuers whose tokens anybody can have: what tells us from others is in their claims. */
const SHARED: ReadonlySet<string> = new Set([
  "token.actions.githubusercontent.com",
  "gitlab.com",
  "accounts.google.com",
  "app.terraform.io",
  "agent.buildkite.com",
]);

/** Claims that tell one customer of a shared issuer from another, and are not used again. */
const OWNERS = ["repository_id", "repository_owner_id", "namespace_id", "project_id"];

/** Reads the section `authentication.issuers`. */
export function readIssuers(sections: readonly Section[], reader: SectionReader): IssuerSettings[] {
  const uniqueName = uniqueKeys("name", reader);
  const uniqueIssuer = uniqueKeys("issuer", reader);
  return sections.map((section, index) => {
    const path: FieldPath = ["authentication", "issuers", index];
    uniqueName(section.name, path);
    uniqueIssuer(section.issuer, path);
    const username = pathOf(section.username) ?? ["sub"];
    if (username.join(".") === "email" && !reads(section.require, ["email_verified"])) {
      reader.problem(
        [...path, "username"],
        "must have a require that reads claims.email_verified beside it: some issuers let anybody claim any address",
      );
    }
    const host = URL.parse(section.issuer)?.host ?? "";
    if (SHARED.has(host) && !reads(section.require, OWNERS)) {
      reader.warning([...path, "issuer"], `anybody can have tokens of ${host}: require one of ${OWNERS.join(", ")}`);
    }
    return {
      name: section.name,
      issuer: section.issuer,
      audiences: new Set(section.audiences),
      algorithms: new Set(section.algorithms.length === 0 ? DEFAULTS.algorithms : section.algorithms),
      username,
      groups: pathOf(section.groups),
      claims: section.claims,
      require: section.require.flatMap((rule, at) => readRule(rule, [...path, "require", at], reader)),
      maxLifetimeMs: section.maxLifetime === undefined ? DEFAULTS.maxLifetimeMs : durationMs(section.maxLifetime),
      clockSkewMs: section.clockSkew === undefined ? DEFAULTS.clockSkewMs : durationMs(section.clockSkew),
      source: sourceOf(section.keys, section.issuer, reader),
      ca: section.ca === "" ? undefined : readCaFile(section.ca, [...path, "ca"], reader),
    };
  });
}

const pathOf = (claim: ClaimPath | undefined): readonly string[] | undefined =>
  claim && (claim.claim === "" ? claim.path : [claim.claim]);

const reads = (rules: readonly ClaimRule[], claims: readonly string[]): boolean =>
  rules.some(({ when }) => claims.some((claim) => new RegExp(`\\bclaims(\\.|\\[['"])${claim}\\b`).test(when)));

const TOKEN_SCOPE: Scope = { variables: new Map([["claims", ANY]]) };

function readRule({ when, message }: ClaimRule, path: FieldPath, reader: SectionReader): IssuerRules["require"] {
  const expression = compileExpression(when, TOKEN_SCOPE, createRegistry());
  if (expression.wrong === undefined) return [{ when: expression.evaluate, message }];
  for (const wrong of when === "" ? [] : expression.wrong) reader.problem([...path, "when"], wrong);
  return [];
}

function sourceOf(keys: IssuerKeys | undefined, issuer: string, reader: SectionReader): KeySource {
  switch (keys?.source.case) {
    case "uri":
      return { kind: "uri", uri: keys.source.value };
    case "file":
      return { kind: "file", path: reader.resolve(keys.source.value) };
    default:
      return { kind: "discovery", issuer };
  }
}

/** What issuers at work need. */
export interface IssuerRuntime {
  /** A clock in ms that never goes back. */
  readonly monotonic: () => number;
  /** Takes what deserves a line in the log. */
  readonly warn: (message: string) => void;
}

/** Issuers at work, by what their tokens have as `iss`. Nothing is asked of them before the first token comes. */
export function openIssuers(
  settings: readonly IssuerSettings[],
  { monotonic, warn }: IssuerRuntime,
): { readonly issuers: ReadonlyMap<string, Issuer> } & AsyncDisposable {
  const fetchers = settings.map(({ source, ca }) => createFetchKeys(source, ca));
  const issuers = settings.map((rules, index): [string, Issuer] => {
    const fetch = async () => fetchers[index]?.fetch();
    return [rules.issuer, { ...rules, keys: createKeys({ authenticator: rules.name, fetch, monotonic, warn }) }];
  });
  return {
    issuers: new Map(issuers),
    async [Symbol.asyncDispose]() {
      for (const fetcher of fetchers) await fetcher[Symbol.asyncDispose]();
    },
  };
}
