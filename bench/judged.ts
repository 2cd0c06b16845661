import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { stringify } from "yaml";
import type { Folder } from "../test/support/folder.ts";
import { Gun, load, median, quantile, type Shot } from "./load.ts";
import { cpuSeconds } from "./process.ts";
import { startProgram } from "./program.ts";

/** What is compared, and how long. */
export interface JudgedOptions {
  readonly folder: Folder;
  /** Sections of the configuration, without those about who may do what. */
  readonly sections: object;
  /** A request of the one caller. */
  readonly shot: () => Shot;
  readonly seconds: number;
  readonly rounds: number;
}

const RULES = 500;
const GROUPS = 200;

/** What it adds to a call, for one caller at a time, in ms: medians over rounds of the difference between two servers, in turn. */
export interface Judged {
  readonly p50Ms: number;
  /** CPU of restartd, which other work of the machine disturbs less. */
  readonly cpuMs: number;
}

/** What it adds that a call's JWT is verified and so many rules judge a caller in so many groups; the servers are the same otherwise. */
export async function judged({ folder, sections, shot, seconds, rounds }: JudgedOptions): Promise<Judged> {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "1", alg: "RS256", use: "sig" };
  const keys = await folder.write("judged-keys.json", JSON.stringify({ keys: [jwk] }));
  const issuer = { name: "okta", issuer: "https://okta.example", audiences: ["restartd"], keys: { file: keys } };
  const access = {
    authentication: { issuers: [{ ...issuer, groups: { claim: "groups" } }] },
    authorization: { rules: Array.from({ length: RULES }, (_, at) => ruleOf(at)) },
  };
  await using stack = new AsyncDisposableStack();
  const start = async (name: string, more: object) => {
    const listen = "127.0.0.1:0";
    const file = await folder.write(
      `${name}.yaml`,
      stringify({ listen, store: { sqlite: { path: `${name}.db` } }, ...sections, ...more }),
    );
    const { url, pid } = stack.use(await startProgram("bin/main.js", ["--config", file]));
    return { gun: stack.use(new Gun(url)), pid };
  };
  const plain = await start("unjudged", {});
  const guarded = await start("judged", access);
  const authorization = `Bearer ${tokenOf(issuer.issuer, privateKey)}`;
  const shown = (): Shot => {
    const { headers, ...rest } = shot();
    return { ...rest, headers: { ...headers, authorization } };
  };
  const round = async ({ gun, pid }: typeof plain, of: () => Shot): Promise<Judged> => {
    const before = cpuSeconds(pid);
    const { latencies } = await load(gun, of, 1, seconds);
    const cpuMs = ((cpuSeconds(pid) - before) * 1000) / latencies.length;
    return { p50Ms: quantile(latencies, 0.5), cpuMs };
  };
  await round(plain, shot);
  await round(guarded, shown);
  const differences: Judged[] = [];
  for (let at = 0; at < rounds; at++) {
    const without = await round(plain, shot);
    const having = await round(guarded, shown);
    differences.push({ p50Ms: having.p50Ms - without.p50Ms, cpuMs: having.cpuMs - without.cpuMs });
  }
  return {
    p50Ms: median(differences.map(({ p50Ms }) => p50Ms)),
    cpuMs: median(differences.map(({ cpuMs }) => cpuMs)),
  };
}

/** The last one allows; of the others the caller's groups are in two fifths, and every tenth has a condition. */
const ruleOf = (at: number): object =>
  at === RULES - 1
    ? { name: `rule-${at}`, groups: ["okta:team-0"], permissions: ["kubernetes.workloads.*"], targets: ["clusters/**"] }
    : {
        name: `rule-${at}`,
        groups: [`okta:team-${at}`],
        permissions: ["kubernetes.workloads.restart"],
        targets: [`clusters/*/*/*/namespaces/shop-${at}/**`],
        ...(at % 10 === 0 && { when: "request.reason != ''" }),
      };

/** A JWT of somebody in all of the groups, for an hour. */
function tokenOf(iss: string, key: Parameters<typeof sign>[2]): string {
  const now = Math.trunc(Date.now() / 1000);
  const groups = Array.from({ length: GROUPS }, (_, at) => `team-${at}`);
  const jti = createHash("sha256").update(String(now)).digest("hex");
  const claims = { iss, aud: "restartd", sub: "bench", iat: now, exp: now + 3600, jti, groups };
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "RS256", kid: "1", typ: "JWT" })}.${part(claims)}`;
  return `${text}.${sign("sha256", Buffer.from(text), key).toString("base64url")}`;
}
