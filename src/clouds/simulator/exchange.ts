/** A request as it was received. Recorded whole, whatever became of it. */
export interface VendorRequest {
  readonly method: string;
  /** Path and query as they came: what a signature is about. */
  readonly url: string;
  /** The path alone, as it came: percent-encoding and doubled slashes are kept. */
  readonly path: string;
  /** The query, decoded. */
  readonly query: URLSearchParams;
  /** Lower-case names; several values are joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
  /** The body, as text. */
  readonly body: string;
  /** The body as it came: what a digest is about. */
  readonly bytes: Buffer;
  /** Whether it came to the vendor's own code, and so may have changed something. */
  executed: boolean;
  /** HTTP status of the answer; undefined while there is none, or when there never was. */
  status: number | undefined;
}

/** What a vendor answers. */
export interface VendorReply {
  readonly status: number;
  /** Lower-case names. `content-type` is application/json for an object and text/plain for a text, unless it stands here. */
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON. Default nothing. */
  readonly body?: string | Readonly<Record<string, unknown>> | readonly unknown[];
}

/** Answers a request as the vendor would. What it throws is a mistake of the simulator: answered 500, and thrown again on close. */
export type VendorHandler = (request: VendorRequest) => VendorReply | Promise<VendorReply>;

/** A JSON answer. */
export const jsonReply = (
  status: number,
  body: Readonly<Record<string, unknown>> | readonly unknown[],
  headers?: Readonly<Record<string, string>>,
): VendorReply => ({ status, body, ...(headers !== undefined && { headers }) });

/** An HTML page, as front servers send. */
export const htmlReply = (status: number, title: string): VendorReply => ({
  status,
  headers: { "content-type": "text/html;charset=utf-8" },
  body: `<html><head><title>${title}</title></head><body><h1>${title}</h1></body></html>`,
});

/** A reply as it goes over the wire. */
export interface WireReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Writes a reply out: what a client gets, byte by byte. */
export function encodeReply({ status, headers, body = "" }: VendorReply): WireReply {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const type = typeof body === "string" ? "text/plain;charset=utf-8" : "application/json;charset=utf-8";
  return { status, headers: { ...(text !== "" && { "content-type": type }), ...headers }, body: text };
}
