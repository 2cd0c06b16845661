import { X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { type FieldPath, readFailure } from "../core/problem.ts";
import type { SectionReader } from "../core/section-reader.ts";
import { quote } from "../core/show-value.ts";

/**
 * Reads a PEM file of certificate authorities.
 *
 * @param field where the configuration names it.
 * @returns its content; undefined where it cannot be used: the reader has been told why.
 */
export function readCaFile(path: string, field: FieldPath, reader: SectionReader): string | undefined {
  const wrong = (why: string): undefined => {
    reader.problem(field, `must be a PEM file of certificate authorities, but ${quote(path)} ${why}`);
  };
  let pem: string;
  try {
    const file = reader.resolve(path);
    // Reading a pipe or a device might never end.
    if (!statSync(file).isFile()) return wrong("is no regular file");
    pem = readFileSync(file, "utf8");
  } catch (error) {
    return wrong(`cannot be read: ${readFailure(error)}`);
  }
  const certificates = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  if (certificates.length === 0) return wrong("has no certificate in it");
  const broken = certificates.findIndex((certificate) => !isCertificate(certificate));
  return broken === -1 ? pem : wrong(`has a certificate that cannot be read: number ${broken + 1} of it`);
}

function isCertificate(pem: string): boolean {
  try {
    new X509Certificate(pem);
    return true;
  } catch {
    return false; // the caller says which one it is
  }
}
