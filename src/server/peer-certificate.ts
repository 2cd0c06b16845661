import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { PeerCertificate } from "../access/certificates.ts";
import type { Http2Request } from "./http2.ts";

/** What a connection showed, by the connection: it is the same for all of its calls. */
const shown = new WeakMap<object, PeerCertificate | undefined>();

/** The client certificate of a request's connection; undefined when it showed none. */
export function peerCertificateOf(request: IncomingMessage | Http2Request): PeerCertificate | undefined {
  const connection = "stream" in request ? request.stream.session : request.socket;
  if (connection === undefined) return undefined;
  if (!shown.has(connection)) shown.set(connection, read(request.socket as Socket));
  return shown.get(connection);
}

function read(socket: Socket): PeerCertificate | undefined {
  if (!isEncrypted(socket)) return undefined;
  const certificate = socket.getPeerCertificate();
  // Node gives an empty object where there is none.
  if (!("valid_to" in certificate)) return undefined;
  return {
    untrusted: socket.authorized === true ? undefined : String(socket.authorizationError ?? "UNTRUSTED"),
    subjectAltName: certificate.subjectaltname ?? "",
    expireTime: Date.parse(certificate.valid_to),
    fingerprint: certificate.fingerprint256,
  };
}

/** By what is in it: over HTTP/2 Node shows a proxy of the socket. */
const isEncrypted = (socket: Socket): socket is TLSSocket => "encrypted" in socket && socket.encrypted === true;
