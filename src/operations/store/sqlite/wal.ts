import { readFileSync } from "node:fs";

const HEADER = 32;
const FRAME_HEADER = 24;
const MAGIC = 0x377f0682;

/**
 * Whether a write-ahead log has lost what was committed: SQLite takes the first frame whose checksum is wrong for the end of the log,
 * which after a crash it is, and drops what follows. But each commit is on the disk before the next one is written, so a whole frame of
 * the same log behind a later commit proves that the wrong one was damaged afterwards.
 *
 * Damage within the last commit cannot be told from a crash in the middle of it.
 *
 * https://www.sqlite.org/fileformat2.html#the_write_ahead_log
 */
export function isLogDamaged(path: string): boolean {
  const log = readLog(path);
  if (log.length < HEADER + FRAME_HEADER) return false;
  const magic = log.readUInt32BE(0);
  const checksum = checksumOf(magic === MAGIC ? "LE" : "BE");
  const [sum1, sum2] = checksum(log.subarray(0, HEADER - 8), 0, 0);
  const headerHolds = magic >>> 1 === MAGIC >>> 1 && log.readUInt32BE(24) === sum1 && log.readUInt32BE(28) === sum2;
  // The header is on the disk before the first frame is written.
  if (!headerHolds) return true;
  const size = FRAME_HEADER + log.readUInt32BE(8);
  let sums: Sums = [sum1, sum2];
  let offset = HEADER;
  for (; offset + size <= log.length; offset += size) {
    const frame = log.subarray(offset, offset + size);
    sums = checksum(frame.subarray(FRAME_HEADER), ...checksum(frame.subarray(0, 8), ...sums));
    if (!isOfLog(log, frame) || frame.readUInt32BE(16) !== sums[0] || frame.readUInt32BE(20) !== sums[1]) break;
  }
  return hasLaterCommit(log, offset, size);
}

/** Whether frames of this log follow a commit at or behind `offset`, where the log seems to end. */
function hasLaterCommit(log: Buffer, offset: number, size: number): boolean {
  let committed = false;
  for (let at = offset; at + FRAME_HEADER <= log.length; at += size) {
    const frame = log.subarray(at, at + FRAME_HEADER);
    if (!isOfLog(log, frame)) continue;
    if (committed) return true;
    committed = frame.readUInt32BE(4) !== 0;
  }
  return false;
}

/** By the salt, which every new log has another one of: behind the end of a log there are frames of older ones. */
const isOfLog = (log: Buffer, frame: Buffer): boolean => frame.subarray(8, 16).equals(log.subarray(16, 24));

type Sums = readonly [number, number];

/** SQLite's checksum of pairs of 32-bit words. */
const checksumOf =
  (order: "LE" | "BE") =>
  (bytes: Buffer, first: number, second: number): Sums => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let [s1, s2] = [first, second];
    for (let at = 0; at + 8 <= bytes.length; at += 8) {
      s1 = (s1 + view.getUint32(at, order === "LE") + s2) >>> 0;
      s2 = (s2 + view.getUint32(at + 4, order === "LE") + s1) >>> 0;
    }
    return [s1, s2];
  };

function readLog(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return Buffer.alloc(0);
    throw error;
  }
}
