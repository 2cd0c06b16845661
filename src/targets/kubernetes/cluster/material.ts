import { X509Certificate } from "node:crypto";
import { resolve } from "node:path";
import { createSecureContext } from "node:tls";
import { type Problem, readFailure } from "../../../core/problem.ts";
import { quote } from "../../../core/show-value.ts";
import { environmentProxy } from "./environment-proxy.ts";
import { commandOf } from "./exec-plugin.ts";
import { isHeaderValue } from "./header-value.ts";
import { type Entry, type Findings, type Pem, readEntry, wrongProxy } from "./kubeconfig-entry.ts";
import type { Kubeconfig, ReadFile } from "./kubeconfig-file.ts";
import { problemAt, problemIn, type Value } from "./kubeconfig-yaml.ts";
import type { Transport } from "./transport.ts";

/** What an entry makes of a connection, its files read, but for what plugins and providers give. */
export interface Material {
  readonly transport: Transport;
  /** All of the file, or of the text, that the authorities stand in: for plugins. */
  readonly caText: string | undefined;
  /** The value of Authorization; undefined where a plugin or a provider gives it, or nothing. */
  readonly authorization: string | undefined;
}

/** What is found of a context. */
export interface Checked extends Findings {
  /** Whether its user acts as somebody else. */
  readonly actsAs: boolean;
}

/** Judges a context and all that a connection by it is made of, but for what plugins and providers give: nothing is run or asked. */
export function checkContext(
  kubeconfig: Kubeconfig,
  context: string,
  read: ReadFile,
  environment: Readonly<Record<string, string | undefined>>,
): Checked {
  const findings: Findings = { problems: [], warnings: [] };
  const found = kubeconfig.find(context, findings.problems);
  const entry = found && readEntry(found, findings);
  if (entry !== undefined) materialOf(entry, read, environment, findings.problems);
  return { ...findings, actsAs: entry?.as !== undefined };
}

/** Paths of the files that an entry names, as {@link materialOf} reads them. */
export function filesOf({ ca, certificate, proof }: Entry): readonly string[] {
  const pems = [ca, certificate?.cert, certificate?.key, proof.kind === "oidc" ? proof.ca : undefined];
  const paths = pems.flatMap((pem) => (pem !== undefined && "file" in pem ? [pathOf(pem.at, pem.file)] : []));
  return proof.kind === "token file" ? [...paths, pathOf(proof.at, proof.file)] : paths;
}

/** Reads the files of an entry and judges what is in them. Where there are problems, the result is not to be used. */
export function materialOf(
  entry: Entry,
  read: ReadFile,
  environment: Readonly<Record<string, string | undefined>>,
  problems: Problem[],
): Material | undefined {
  const before = problems.length;
  const transport: Transport = {
    ca: entry.ca && authoritiesIn(entry.ca, read, problems),
    certificate: entry.certificate && certificateOf(entry.certificate, read, problems),
    serverName: entry.serverName,
    skipVerify: entry.skipVerify,
    proxy: entry.proxyUrl ?? proxyAround(entry.server, environment, problems),
  };
  if (entry.proof.kind === "oidc" && entry.proof.ca !== undefined) authoritiesIn(entry.proof.ca, read, problems);
  if (entry.proof.kind === "exec") {
    const { at, config } = entry.proof;
    const { wrong } = commandOf(config.command, at.document.folder, environment);
    const hint = config.installHint === "" ? "" : `; ${config.installHint}`;
    if (wrong !== undefined && config.command !== "")
      problems.push(problemIn(at, "command", `is ${quote(config.command)}, which ${wrong}${hint}`));
  }
  const authorization = authorizationOf(entry, read, problems);
  const caText = entry.ca && textOf(entry.ca, read, []);
  return problems.length > before ? undefined : { transport, caText, authorization };
}

/** PEM certificates of authorities: those that are certificates, as client-go takes them, and at least one. */
export function authoritiesIn(pem: Pem, read: ReadFile, problems: Problem[]): readonly string[] {
  const text = textOf(pem, read, problems);
  if (text === undefined) return [];
  const found = (text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []).filter(isCertificate);
  if (found.length === 0) problems.push(problemAt(pem.at, "must have a certificate in PEM in it"));
  return found;
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject !== undefined;
  } catch {
    return false;
  }
}

function certificateOf(
  { cert, key }: NonNullable<Entry["certificate"]>,
  read: ReadFile,
  problems: Problem[],
): Transport["certificate"] {
  const texts = { cert: textOf(cert, read, problems), key: textOf(key, read, problems) };
  if (texts.cert === undefined || texts.key === undefined) return undefined;
  const pair = { cert: texts.cert, key: texts.key };
  const wrong = (of: Partial<typeof pair>): string | undefined => {
    try {
      createSecureContext(of);
      return undefined;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? "unknown";
    }
  };
  const badCert = wrong({ cert: pair.cert });
  const badKey = wrong({ key: pair.key });
  if (badCert !== undefined) problems.push(problemAt(cert.at, `must be a certificate in PEM (${badCert})`));
  if (badKey !== undefined) problems.push(problemAt(key.at, `must be a key in PEM, not encrypted (${badKey})`));
  const unfit = badCert === undefined && badKey === undefined ? wrong(pair) : undefined;
  if (unfit !== undefined) problems.push(problemAt(key.at, `does not belong to the certificate (${unfit})`));
  return pair;
}

function textOf(pem: Pem, read: ReadFile, problems: Problem[]): string | undefined {
  return "text" in pem ? pem.text : contentOf(pem.at, pem.file, read, problems);
}

function contentOf(at: Value, file: string, read: ReadFile, problems: Problem[]): string | undefined {
  try {
    return Buffer.from(read(pathOf(at, file))).toString("latin1");
  } catch (error) {
    problems.push(problemAt(at, `is ${quote(file)}, which cannot be read: ${readFailure(error)}`));
    return undefined;
  }
}

const pathOf = (at: Value, file: string): string => resolve(at.document.folder, file);

/** As client-go. The user's name and the token do not go together: whoever read the entry has refused both. */
function authorizationOf({ proof }: Entry, read: ReadFile, problems: Problem[]): string | undefined {
  switch (proof.kind) {
    case "token":
      return `Bearer ${proof.token}`;
    case "password":
      return `Basic ${Buffer.from(`${proof.username}:${proof.password}`).toString("base64")}`;
    case "token file": {
      const token = contentOf(proof.at, proof.file, read, problems)?.trim();
      if (token === undefined) return undefined;
      const wrong =
        token === ""
          ? "is empty"
          : isHeaderValue(token)
            ? undefined
            : "holds no token, but several lines or letters that no header can hold";
      if (wrong !== undefined) problems.push(problemAt(proof.at, `is ${quote(proof.file)}, which ${wrong}`));
      return `Bearer ${token}`;
    }
    default:
      return undefined;
  }
}

function proxyAround(
  server: string,
  environment: Readonly<Record<string, string | undefined>>,
  problems: Problem[],
): string | undefined {
  const address = URL.parse(server);
  const proxy = address === null ? undefined : environmentProxy(address, environment);
  const wrong = proxy === undefined ? undefined : wrongProxy(proxy);
  if (wrong !== undefined) {
    const name = server.startsWith("https:") ? "HTTPS_PROXY" : "HTTP_PROXY";
    problems.push({ file: undefined, line: undefined, column: undefined, field: `$${name}`, message: wrong });
  }
  return proxy;
}
