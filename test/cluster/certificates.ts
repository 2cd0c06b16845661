import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIPv4, isIPv6 } from "node:net";

/** A certificate with its private key, both PEM. */
export interface Certified {
  readonly cert: string;
  readonly key: string;
}

/** What a certificate is for. */
export interface CertificateRequest {
  /** CN; for a client certificate Kubernetes takes it as the user. */
  readonly commonName: string;
  /** Each an O; for a client certificate Kubernetes takes them as the groups. */
  readonly organizations?: readonly string[];
  /** `server` for the address in `hosts`, `client` to authenticate with. */
  readonly usage: "server" | "client";
  /** Subject alternative names: addresses or DNS names. */
  readonly hosts?: readonly string[];
  /** Further subject alternative names: URIs. */
  readonly uris?: readonly string[];
  /** Whether its time is already over. Default false. */
  readonly expired?: boolean;
}

/** A certificate authority of a test, living in memory. */
export interface Authority {
  /** Its certificate, PEM: a kubeconfig's certificate-authority-data or a webhook's caBundle once in base64. */
  readonly cert: string;
  /** Its private key, PEM: to sign what these lines do not make. */
  readonly key: string;
  issue(request: CertificateRequest): Certified;
}

/**
 * Makes a certificate authority (ECDSA P-256, valid for 30 days).
 *
 * Node makes keys and signatures but no certificates; the few lines of DER (X.690, RFC 5280) below spare tests a dependency.
 */
export function createAuthority(commonName: string): Authority {
  const { publicKey, privateKey } = newKeyPair();
  const issuer = distinguishedName(commonName, []);
  const extensions = [
    extension(oids.basicConstraints, true, sequence(der(0x01, Buffer.from([0xff])))),
    // keyCertSign and cRLSign
    extension(oids.keyUsage, true, der(0x03, Buffer.from([1, 0x06]))),
    extension(oids.subjectKeyIdentifier, false, der(0x04, keyIdentifier(publicKey))),
  ];
  const cert = certificate({ issuer, subject: issuer, publicKey, extensions, signer: privateKey });
  return {
    cert,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    issue(request) {
      const pair = newKeyPair();
      return {
        cert: certificate({
          issuer,
          subject: distinguishedName(request.commonName, request.organizations ?? []),
          publicKey: pair.publicKey,
          expired: request.expired === true,
          extensions: [
            ...leafExtensions(request),
            // Strict verifiers (OpenSSL's x509_strict, Python) insist on the two key identifiers.
            extension(oids.authorityKeyIdentifier, false, sequence(der(0x80, keyIdentifier(publicKey)))),
          ],
          signer: privateKey,
        }),
        key: pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
      };
    },
  };
}

/** A key to sign tokens with, PEM. */
export function newSigningKey(): { readonly privateKey: string; readonly publicKey: string } {
  const { publicKey, privateKey } = newKeyPair();
  return {
    privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    publicKey: publicKey.export({ type: "spki", format: "pem" }).toString(),
  };
}

const oids = {
  commonName: "550403",
  organization: "55040a",
  subjectAltName: "551d11",
  subjectKeyIdentifier: "551d0e",
  authorityKeyIdentifier: "551d23",
  basicConstraints: "551d13",
  keyUsage: "551d0f",
  extendedKeyUsage: "551d25",
  serverAuth: "2b06010505070301",
  clientAuth: "2b06010505070302",
  ecdsaWithSha256: "2a8648ce3d040302",
} as const;

function newKeyPair(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

function leafExtensions(request: CertificateRequest): Buffer[] {
  const usage = request.usage === "server" ? oids.serverAuth : oids.clientAuth;
  const extensions = [
    // digitalSignature
    extension(oids.keyUsage, true, der(0x03, Buffer.from([7, 0x80]))),
    extension(oids.extendedKeyUsage, false, sequence(oid(usage))),
  ];
  const hosts = (request.hosts ?? []).map((host) => {
    if (isIPv4(host)) return der(0x87, Buffer.from(host.split(".").map(Number)));
    return isIPv6(host) ? der(0x87, ipv6(host)) : der(0x82, Buffer.from(host, "ascii"));
  });
  const uris = (request.uris ?? []).map((uri) => der(0x86, Buffer.from(uri, "ascii")));
  const names = [...hosts, ...uris];
  if (names.length > 0) extensions.push(extension(oids.subjectAltName, false, sequence(...names)));
  return extensions;
}

function ipv6(address: string): Buffer {
  const [head = [], tail = []] = address.split("::").map((part) => part.split(":").filter(Boolean));
  const groups = [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => "0"), ...tail];
  return Buffer.from(groups.map((group) => group.padStart(4, "0")).join(""), "hex");
}

function certificate(parts: {
  issuer: Buffer;
  subject: Buffer;
  publicKey: KeyObject;
  extensions: Buffer[];
  signer: KeyObject;
  expired?: boolean;
}): string {
  const day = 24 * 60 * 60 * 1000;
  const serial = randomBytes(16);
  // Positive, and in its shortest form: the first octet is neither 0 nor has its highest bit set.
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  const algorithm = sequence(oid(oids.ecdsaWithSha256));
  const signed = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serial),
    algorithm,
    parts.issuer,
    // An hour back, for clocks that differ.
    sequence(utcTime(Date.now() - day / 24), utcTime(Date.now() + (parts.expired ? -day / 48 : 30 * day))),
    parts.subject,
    parts.publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(...parts.extensions)),
  );
  const signature = der(0x03, Buffer.concat([Buffer.from([0]), sign("sha256", signed, parts.signer)]));
  const base64 = sequence(signed, algorithm, signature).toString("base64");
  return `-----BEGIN CERTIFICATE-----\n${base64.replace(/.{1,64}/g, "$&\n")}-----END CERTIFICATE-----\n`;
}

function distinguishedName(commonName: string, organizations: readonly string[]): Buffer {
  const attribute = (type: string, value: string) => der(0x31, sequence(oid(type), der(0x0c, Buffer.from(value))));
  return sequence(
    ...organizations.map((organization) => attribute(oids.organization, organization)),
    attribute(oids.commonName, commonName),
  );
}

function extension(type: string, critical: boolean, value: Buffer): Buffer {
  return sequence(oid(type), ...(critical ? [der(0x01, Buffer.from([0xff]))] : []), der(0x04, value));
}

function keyIdentifier(key: KeyObject): Buffer {
  return createHash("sha1")
    .update(key.export({ type: "spki", format: "der" }))
    .digest();
}

function utcTime(milliseconds: number): Buffer {
  const [, text] = /^..(.*)\.\d+Z$/.exec(new Date(milliseconds).toISOString()) ?? [];
  return der(0x17, Buffer.from(`${(text ?? "").replace(/[-:T]/g, "")}Z`));
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, "hex"));
}

function sequence(...parts: Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

function der(tag: number, content: Buffer): Buffer {
  const length = content.length;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  if (length < 0x100) return Buffer.concat([Buffer.from([tag, 0x81, length]), content]);
  return Buffer.concat([Buffer.from([tag, 0x82, length >> 8, length & 0xff]), content]);
}
