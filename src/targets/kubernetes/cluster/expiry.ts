import { X509Certificate } from "node:crypto";
import type { Material } from "./material.ts";

/** A token out of a file that lives shorter (s) is renewed by a machine, again and again: when it ends is nobody's concern. */
const BY_MACHINE_S = 7 * 24 * 3600;

/**
 * Tells until when credentials hold that a person has to renew: a certificate and a token as kubeconfigs have them. What plugins and
 * providers give ends soon, and is asked for again.
 *
 * @param tell epoch ms, or undefined where none of them says it; called when that changes.
 */
export function createExpiry(tell: (at: number | undefined) => void) {
  let known: { readonly cert: string | undefined; readonly authorization: string | undefined } | undefined;
  let reported: number | undefined;
  /** @param isWritten whether the token stands in the kubeconfig itself. */
  return ({ transport, authorization }: Material, isWritten: boolean): void => {
    const cert = transport.certificate?.cert;
    if (known !== undefined && known.cert === cert && known.authorization === authorization) return;
    known = { cert, authorization };
    const ends = [cert && endOfCertificate(cert), authorization && endOfToken(authorization, isWritten)];
    const first = Math.min(...ends.filter((end) => typeof end === "number"));
    const at = Number.isFinite(first) ? first : undefined;
    if (at !== reported) tell(at);
    reported = at;
  };
}

/** The first certificate of a file is ours; it has been judged already. */
const endOfCertificate = (pem: string): number => new X509Certificate(pem).validToDate.getTime();

/** The end of a JSON Web Token; undefined where it is none, or says none. */
function endOfToken(authorization: string, isWritten: boolean): number | undefined {
  const [, payload] = /^Bearer [\w-]+\.([\w-]+)\.[\w-]*$/.exec(authorization) ?? [];
  if (payload === undefined) return undefined;
  try {
    const { exp, iat } = JSON.parse(Buffer.from(payload, "base64url").toString()) ?? {};
    if (typeof exp !== "number" || !Number.isFinite(exp)) return undefined;
    return !isWritten && typeof iat === "number" && exp - iat < BY_MACHINE_S ? undefined : exp * 1000;
  } catch {
    return undefined; // it looks like one, and is none
  }
}
