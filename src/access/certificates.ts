import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Certificates as Section } from "../../gen/restart/config/v1/authentication_pb.ts";
import { CERT } from "../core/authenticators.ts";
import type { Failure } from "../core/errors.ts";
import { wrongUsername } from "../core/principal.ts";
import { readFailure } from "../core/problem.ts";
import type { SectionReader } from "../core/section-reader.ts";
import { quote } from "../core/show-value.ts";
import type { Authenticated } from "./authenticated.ts";
import { unauthenticated, type Why } from "./unauthenticated.ts";

/** A client certificate as a connection shows it. */
export interface PeerCertificate {
  /** Why TLS does not trust it, as OpenSSL names it; undefined when it does. */
  readonly untrusted: string | undefined;
  /** Its subjectAltName as Node prints it; empty when it has none. */
  readonly subjectAltName: string;
  /** When it ends, in epoch ms. */
  readonly expireTime: number;
  /** Its SHA-256. */
  readonly fingerprint: string;
}

/** What client certificates are judged by. */
export interface ClientAuthorities {
  /** PEM. */
  readonly ca: string;
  /** PEM; undefined: none is revoked. */
  readonly crl: string | undefined;
}

/** The section `authentication.certificates`. */
export interface CertificateSettings {
  readonly trustDomain: string;
  /** Absolute paths of the files. */
  readonly files: readonly string[];
  /** Reads the files again; a text says what is wrong with them. */
  readonly load: () => ClientAuthorities | string;
}

/** Reads the section: the authorities have to be there. */
export function readCertificates(
  section: Section | undefined,
  encrypts: boolean,
  reader: SectionReader,
): CertificateSettings | undefined {
  if (section === undefined) return undefined;
  if (!encrypts) {
    reader.problem(
      ["authentication", "certificates"],
      "must have tls with a certificate beside it: a proxy that ends TLS sees the certificates, and this server does not",
    );
  }
  if (section.ca === "") return undefined; // the schema wants one, and has reported it
  const ca = reader.resolve(section.ca);
  const crl = section.crl === "" ? undefined : reader.resolve(section.crl);
  const load = (): ClientAuthorities | string => loadAuthorities(ca, crl, section);
  const first = load();
  if (typeof first === "string") {
    reader.problem(["authentication", "certificates"], first);
    return undefined;
  }
  return { trustDomain: section.trustDomain, files: [ca, ...(crl === undefined ? [] : [crl])], load };
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

function loadAuthorities(ca: string, crl: string | undefined, shown: Section): ClientAuthorities | string {
  const texts: string[] = [];
  for (const [path, name] of [[ca, shown.ca], ...(crl === undefined ? [] : [[crl, shown.crl] as const])] as const) {
    try {
      texts.push(readFileSync(path, "utf8"));
    } catch (error) {
      return `${quote(name)} cannot be read: ${readFailure(error)}`;
    }
  }
  const [authorities = "", revoked] = texts;
  if (!(authorities.match(CERTIFICATE) ?? []).some(isAuthority)) {
    return `${quote(shown.ca)} has no certificate of an authority in it`;
  }
  if (revoked !== undefined && !revoked.includes("-----BEGIN X509 CRL-----")) {
    return `${quote(shown.crl)} is no list of revoked certificates in PEM`;
  }
  return { ca: authorities, crl: revoked };
}

function isAuthority(pem: string): boolean {
  try {
    return new X509Certificate(pem).ca;
  } catch {
    return false; // whoever asks says that there is none
  }
}

/**
 * Verifies client certificates: TLS has judged who signed them and what they are for, and this judges the time, which goes on while a
 * connection is open, and the one SPIFFE id in them.
 */
export const createCertificateVerifier =
  (trustDomain: string, now: () => Date) =>
  (certificate: PeerCertificate): Authenticated => {
    const { untrusted, subjectAltName, expireTime, fingerprint } = certificate;
    const ended = (): boolean => expireTime <= now().getTime();
    if (untrusted !== undefined || ended()) {
      const why = whyUntrusted(untrusted ?? "CERT_HAS_EXPIRED");
      throw unauthenticated(why, SENTENCES[why], CERT);
    }
    const id = idOf(subjectAltName, trustDomain);
    if (id === undefined || wrongUsername(CERT, id) !== undefined) {
      throw unauthenticated("CERTIFICATE_IDENTITY", SENTENCES.CERTIFICATE_IDENTITY, CERT);
    }
    const lapsed = (): Failure | undefined =>
      ended() ? unauthenticated("EXPIRED", "the certificate that began this has expired", CERT) : undefined;
    return {
      principal: {
        id: `${CERT}:${id}`,
        authenticator: CERT,
        username: id,
        groups: [],
        claims: {},
        credential: `certificate ${fingerprint}`,
        expireTime,
      },
      lapsed,
    };
  };

type CertificateWhy = Extract<Why, `CERTIFICATE_${string}`>;

const SENTENCES: Readonly<Record<CertificateWhy, string>> = {
  CERTIFICATE_UNTRUSTED: "the client certificate is not one that this server trusts",
  CERTIFICATE_EXPIRED: "the client certificate has expired",
  CERTIFICATE_REVOKED: "the client certificate was revoked",
  CERTIFICATE_IDENTITY:
    "the client certificate must have one SPIFFE id of this server's trust domain, and no other URI",
};

const whyUntrusted = (code: string): CertificateWhy =>
  code === "CERT_HAS_EXPIRED"
    ? "CERTIFICATE_EXPIRED"
    : code === "CERT_REVOKED"
      ? "CERTIFICATE_REVOKED"
      : "CERTIFICATE_UNTRUSTED";

/** The one SPIFFE id; undefined when there is none, or another URI. What is in quotes could be read in more ways than one. */
function idOf(subjectAltName: string, trustDomain: string): string | undefined {
  if (subjectAltName.includes('"')) return undefined;
  const uris = subjectAltName
    .split(", ")
    .flatMap((part) => (part.startsWith("URI:") ? [part.slice("URI:".length)] : []));
  const [id = "", ...others] = uris;
  const start = `spiffe://${trustDomain}/`;
  if (others.length > 0 || !id.startsWith(start)) return undefined;
  const segments = id.slice(start.length).split("/");
  return segments.every((segment) => /^[A-Za-z0-9._~-]+$/.test(segment) && segment !== "." && segment !== "..")
    ? id
    : undefined;
}
