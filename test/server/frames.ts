/** What a client of HTTP/2 says first, before its settings (RFC 9113, 3.4). */
export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Types of frames (RFC 9113, 6). */
export const FRAME = { data: 0x0, headers: 0x1, reset: 0x3, settings: 0x4 } as const;

/** Flag of data and headers after which nothing follows. */
export const END_STREAM = 0x1;

const END_HEADERS = 0x4;

/** A frame of HTTP/2 (RFC 9113, 4.1), as no client would let one make it. */
export function frame(type: number, flags: number, stream: number, payload = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Headers, pseudo headers first, each a literal that is not indexed (RFC 7541, 6.2.2). */
export function headersFrame(stream: number, headers: Readonly<Record<string, string>>, flags = 0): Buffer {
  const text = (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
  const fields = Object.entries(headers)
    .sort(([a], [b]) => Number(b.startsWith(":")) - Number(a.startsWith(":")))
    .map(([name, value]) => Buffer.concat([Buffer.from([0]), text(name), text(value)]));
  return frame(FRAME.headers, END_HEADERS | flags, stream, Buffer.concat(fields));
}

/** Resets a stream. */
export const resetFrame = (stream: number, code: number): Buffer =>
  frame(FRAME.reset, 0, stream, Buffer.from([0, 0, 0, code]));
