import { create, toBinary } from "@bufbuild/protobuf";
import { type Any, anyIs, anyPack, anyUnpack } from "@bufbuild/protobuf/wkt";
import { decodeBinaryHeader, encodeBinaryHeader } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, PreconditionFailureSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { type Status, StatusSchema } from "../../gen/google/rpc/status_pb.ts";

/** gRPC's status is a header, and gRPC's clients refuse headers of more than 8 KiB, or break the connection: so many bytes are sent of it. */
const BUDGET = 6000;

/** So many of them may be the message, which is sent twice. */
const MESSAGE_BUDGET = 1000;

/** What is sent beside the message and the details: names, the code. */
const OVERHEAD = 200;

/** Details of at most so many bytes come before longer ones: how long to wait is worth more than the tenth of fifty reports. */
const SMALL = 200;

/**
 * Trailers of gRPC that arrive: of a status that is too large ErrorInfo is sent, and as many of the other details as fit. ErrorInfo then
 * says by its metadata `details_left_out` how many are missing or shortened.
 *
 * The message has nothing encoded that gRPC's specification does not want encoded. connect encodes all punctuation, and grpc-js shows
 * what it did not expect as it is: `no procedure %2Fa.B%2FC`.
 */
export function trailersOf(trailer: Headers): Record<string, string> {
  const all = Object.fromEntries(trailer);
  const encoded = trailer.get("grpc-message");
  if (encoded === null) {
    return all;
  }
  const message = decodeURIComponent(encoded);
  const details = trailer.get("grpc-status-details-bin");
  const whole = { ...all, "grpc-message": encodeMessage(message) };
  if (whole["grpc-message"].length + (details?.length ?? 0) + OVERHEAD <= BUDGET) {
    return whole;
  }
  const short = shorten(message);
  const cut = { ...all, "grpc-message": encodeMessage(short) };
  if (details === null) {
    return cut;
  }
  const room = Math.floor(((BUDGET - OVERHEAD - cut["grpc-message"].length) * 3) / 4);
  const status = fitting({ ...decodeBinaryHeader(details, StatusSchema), message: short }, room);
  return { ...cut, "grpc-status-details-bin": encodeBinaryHeader(status, StatusSchema) };
}

const encodeMessage = (message: string): string => message.replace(/[^\x20-\x24\x26-\x7e]/gu, encodeURIComponent);

/** The beginning of a message that is too long. */
function shorten(message: string): string {
  if (encodeMessage(message).length <= MESSAGE_BUDGET) {
    return message;
  }
  let length = 0;
  const characters: string[] = [];
  for (const character of message) {
    length += encodeMessage(character).length;
    if (length > MESSAGE_BUDGET - 3) break;
    characters.push(character);
  }
  return `${characters.join("")}...`;
}

/** The status with as many of its details as fit into so many bytes. */
function fitting(status: Status, room: number): Status {
  const [info, others] = [status.details.filter(isInfo), status.details.filter((any) => !isInfo(any))];
  const sized = others.map((any) => ({ any, size: sizeOf(any) }));
  const order = [...sized.filter(({ size }) => size <= SMALL), ...sized.filter(({ size }) => size > SMALL)];
  const kept = new Map<Any, Any>();
  let left = room - toBinary(StatusSchema, { ...status, details: info }).length - LEFT_OUT_SIZE;
  for (const { any } of order) {
    const part = partOf(any, left);
    if (part !== undefined) {
      kept.set(any, part);
      left -= sizeOf(part);
    }
  }
  const leftOut = others.filter((any) => kept.get(any) !== any).length;
  const details = others.flatMap((any) => kept.get(any) ?? []);
  return { ...status, details: [...info.map((any) => withLeftOut(any, leftOut)), ...details] };
}

const isInfo = (any: Any): boolean => anyIs(any, ErrorInfoSchema);

/** Bytes of the metadata that {@link withLeftOut} adds, at most. */
const LEFT_OUT_SIZE = 40;

function withLeftOut(any: Any, leftOut: number): Any {
  const info = anyUnpack(any, ErrorInfoSchema);
  if (info === undefined || leftOut === 0) {
    return any;
  }
  const metadata = { ...info.metadata, details_left_out: String(leftOut) };
  return anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { ...info, metadata }));
}

/** Bytes that a detail takes in a status. */
const sizeOf = (any: Any): number => toBinary(StatusSchema, create(StatusSchema, { details: [any] })).length;

/** A detail, or of a list of violations those at its beginning, that fits into so many bytes. */
function partOf(any: Any, room: number): Any | undefined {
  if (sizeOf(any) <= room) {
    return any;
  }
  const request = anyUnpack(any, BadRequestSchema);
  if (request !== undefined) {
    return longest(request.fieldViolations, room, (fieldViolations) =>
      anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations })),
    );
  }
  const failure = anyUnpack(any, PreconditionFailureSchema);
  return (
    failure &&
    longest(failure.violations, room, (violations) =>
      anyPack(PreconditionFailureSchema, create(PreconditionFailureSchema, { violations })),
    )
  );
}

/** What is made of as many items as fit, at least of one. */
function longest<Item>(items: readonly Item[], room: number, make: (items: Item[]) => Any): Any | undefined {
  for (let count = items.length - 1; count > 0; count--) {
    const any = make(items.slice(0, count));
    if (sizeOf(any) <= room) return any;
  }
  return undefined;
}
