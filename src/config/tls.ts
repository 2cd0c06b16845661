import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Tls as Section } from "../../gen/restart/config/v1/tls_pb.ts";
import { readFailure } from "../core/problem.ts";
import { type GiveSecret, readSecret } from "../core/secret.ts";
import type { SectionReader } from "../core/section-reader.ts";
import { quote } from "../core/show-value.ts";

/** What the section `tls` says; undefined: connections are not encrypted. */
export type TlsSettings =
  /** A proxy in front of this server encrypts. */
  | { readonly kind: "proxy" }
  /** This server does. */
  | {
      readonly kind: "certificate";
      readonly minVersion: "TLSv1.2" | "TLSv1.3";
      /** Absolute paths of the files that certificate and key are read from. */
      readonly files: readonly string[];
      /** Reads both again; a text says what is wrong with them. */
      readonly load: () => Certified | string;
      /** Names of the certificate at the start. */
      readonly names: readonly string[];
    };

/** A certificate with its key. */
export interface Certified {
  /** PEM. */
  readonly certificate: string;
  /** PEM. */
  readonly key: string;
  /** DNS names and IP addresses that it is for, in lower case. */
  readonly names: readonly string[];
  /** When it ends, in epoch ms. */
  readonly expireTime: number;
}

const DAY_MS = 86_400_000;

/** So long (ms) before its end a certificate is worth a warning. */
const WARN_BEFORE_MS = 14 * DAY_MS;

/** Reads the section `tls`: certificate and key have to be there, fit together, and be good now. */
export function readTls(section: Section | undefined, reader: SectionReader, now: Date): TlsSettings | undefined {
  if (section === undefined) return undefined;
  if (section.terminatedByProxy) return { kind: "proxy" };
  if (section.certificate === "" || section.key === undefined) return undefined; // the schema has reported it
  const file = reader.resolve(section.certificate);
  const key = readSecret(section.key, ["tls", "key"], reader);
  if (key === undefined) return undefined;
  const load = (): Certified | string => loadCertified(file, section.certificate, key, now.getTime());
  const first = load();
  if (typeof first === "string") {
    reader.problem(["tls", "certificate"], first);
    return undefined;
  }
  const warning = endsSoon(first, now.getTime());
  if (warning !== undefined) reader.warning(["tls", "certificate"], warning);
  const { source } = section.key;
  return {
    kind: "certificate",
    minVersion: section.minVersion === "1.3" ? "TLSv1.3" : "TLSv1.2",
    files: [file, ...(source.case === "file" ? [reader.resolve(source.value)] : [])],
    load,
    names: first.names,
  };
}

/** What deserves a warning of a certificate's end; undefined while that is far. */
export function endsSoon({ expireTime }: Pick<Certified, "expireTime">, now: number): string | undefined {
  const days = Math.floor((expireTime - now) / DAY_MS);
  return expireTime - now > WARN_BEFORE_MS ? undefined : `the certificate ends in ${days} days: replace it`;
}

function loadCertified(file: string, shown: string, giveKey: GiveSecret, now: number): Certified | string {
  let certificate: string;
  try {
    certificate = readFileSync(file, "utf8");
  } catch (error) {
    return `${quote(shown)} cannot be read: ${readFailure(error)}`;
  }
  const parsed = parse(certificate);
  if (parsed === undefined) return `${quote(shown)} must begin with a certificate in PEM`;
  const key = keyOf(giveKey);
  if (typeof key === "string") return key;
  if (!parsed.checkPrivateKey(key.parsed)) return `${quote(shown)} is not the certificate of the key`;
  if (parsed.validToDate.getTime() <= now) return `${quote(shown)} has ended on ${parsed.validTo}`;
  if (parsed.validFromDate.getTime() > now) return `${quote(shown)} begins on ${parsed.validFrom}`;
  const expireTime = parsed.validToDate.getTime();
  return { certificate, key: key.pem, names: namesOf(parsed.subjectAltName ?? ""), expireTime };
}

function parse(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined; // the caller says so; OpenSSL's own words name its sources
  }
}

function keyOf(
  give: GiveSecret,
): { readonly pem: string; readonly parsed: ReturnType<typeof createPrivateKey> } | string {
  try {
    const pem = give();
    return { pem, parsed: createPrivateKey(pem) };
  } catch {
    return "the key must be a private key in PEM, without a passphrase (what it is instead is not shown)";
  }
}

/** Names in a subjectAltName as Node prints it. What is in quotes has characters that no name of a host has. */
const namesOf = (subjectAltName: string): string[] =>
  subjectAltName.split(", ").flatMap((part) => {
    const [, name] = /^(?:DNS|IP Address):([^"]+)$/.exec(part) ?? [];
    return name === undefined ? [] : [name.toLowerCase()];
  });
