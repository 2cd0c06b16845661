import { randomInt } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Disk } from "./power-loss/disk.ts";
import { lostOf, Writer } from "./power-loss/run-writer.ts";
import { type Kind, openKeeping } from "./power-loss/stores.ts";

/**
 * Cuts the power under the SQLite store and looks whether anything that was acknowledged is lost; then fills its disk. Linux, as root:
 * `sudo node scripts/power-loss.ts [ROUNDS [CONTROL-ROUNDS]]`, by default 20 and 5.
 *
 * The store is on an ext4 file system of its own, on a loop device. While a process writes operations to it, an ioctl ends the file
 * system as a power failure does: what is not on the disk by then, the file system's own journal too, never gets there. Then it is
 * mounted again and the store opened. The same is done to the negative control, a database with synchronous=OFF, which must lose
 * something: otherwise this could not find a loss either. What a disk loses that lies about its cache is not seen here.
 *
 * Exits 0 when nothing was lost but by the control.
 */
const ROUNDS = 20;
const CONTROL_ROUNDS = 5;

const DISK_BYTES = 256 * 2 ** 20;
const SMALL_DISK_BYTES = 20 * 2 ** 20;
/** Of the small disk, to be given back once it is full. */
const BALLAST_BYTES = 4 * 2 ** 20;

/** The power fails after so many acknowledged writes, by chance. */
const WRITES = { least: 20, most: 800 } as const;

/** Aborted by SIGINT and SIGTERM: whatever was mounted is unmounted before this ends. */
const stopping = new AbortController();

const print = (line: string): void => void process.stdout.write(`${line}\n`);

/** What came of one power failure. */
interface Round {
  readonly acknowledged: number;
  readonly lost: readonly string[];
  /** What the writer was told by the first write that failed. */
  readonly failure: string | undefined;
}

async function cutPower(kind: Kind): Promise<Round> {
  using disk = new Disk(DISK_BYTES);
  const file = join(disk.path, "restartd.db");
  await using writer = new Writer(kind, file, stopping.signal);
  await writer.write(randomInt(WRITES.least, WRITES.most));
  // It goes on writing meanwhile.
  disk.cut();
  const failure = await writer.write();
  await writer[Symbol.asyncDispose]();
  disk.unmount();
  disk.mount();
  return { acknowledged: writer.acknowledged, lost: await lostOf(writer, kind, file), failure };
}

async function cutPowerOften(kind: Kind, rounds: number): Promise<readonly Round[]> {
  print(`\n${kind}\n  round  acknowledged  lost  first failure`);
  const results: Round[] = [];
  for (let index = 1; index <= rounds; index++) {
    const round = await cutPower(kind);
    results.push(round);
    const { acknowledged, lost, failure } = round;
    print(
      `  ${pad(index, 5)}  ${pad(acknowledged, 12)}  ${pad(lost.length, 4)}  ${failure}${lost[0] === undefined ? "" : ` (lost first: ${lost[0]})`}`,
    );
  }
  print(`  all    ${pad(sum(results, "acknowledged"), 12)}  ${pad(lostIn(results), 4)}`);
  return results;
}

const pad = (value: number, width: number): string => String(value).padStart(width);
const sum = (rounds: readonly Round[], key: "acknowledged"): number =>
  rounds.reduce((all, round) => all + round[key], 0);
const lostIn = (rounds: readonly Round[]): number => rounds.reduce((all, { lost }) => all + lost.length, 0);

/**
 * Fills the disk under the store. Once there is room again it goes on; a process that starts while the disk is full says so or works,
 * and loses nothing.
 *
 * @returns what went wrong.
 */
async function fillDisk(): Promise<readonly string[]> {
  using disk = new Disk(SMALL_DISK_BYTES);
  const file = join(disk.path, "restartd.db");
  const ballast = ["ballast-1", "ballast-2"].map((name) => join(disk.path, name));
  const [first = "", second = ""] = ballast;
  for (const name of ballast) writeFileSync(name, Buffer.alloc(BALLAST_BYTES));
  await using writer = new Writer("store", file, stopping.signal);
  const failures = [await writer.write()];
  const before = writer.acknowledged;
  print(`\nfull disk\n  ${before} acknowledged until: ${failures[0]}`);
  rmSync(first);
  writer.goOn();
  failures.push(await writer.write());
  const more = writer.acknowledged - before;
  print(`  ${more} more once there was room again, until: ${failures[1]}`);
  await writer[Symbol.asyncDispose](); // by kill: its log is still to be taken in
  disk.unmount();
  disk.mount();
  const refusal = await refusalOf(file);
  print(`  opened while it is full: ${refusal ?? "well"}`);
  rmSync(second);
  const lost = await lostOf(writer, "store", file);
  print(`  opened with room again: ${lost.length} of ${writer.acknowledged} lost`);
  const others = failures.filter((failure) => !failure?.includes("database or disk is full"));
  return [
    ...others.map((failure) => `a write to a full disk failed by: ${failure}`),
    ...(more === 0 ? ["the store did not go on when there was room again"] : []),
    ...(refusal !== undefined && !/make room/i.test(refusal) ? [`a full disk is told as: ${refusal}`] : []),
    ...lost,
  ];
}

/** Why the store cannot be opened; undefined when it can. */
async function refusalOf(file: string): Promise<string | undefined> {
  try {
    await using _ = await openKeeping("store", file);
    return undefined;
  } catch (error) {
    return String(error);
  }
}

/** Why this cannot run here. */
function obstacle(): string | undefined {
  if (process.platform !== "linux") return "it needs Linux: ext4 on a loop device";
  if (process.getuid?.() !== 0)
    return "it needs root, to mount a file system of its own: sudo node scripts/power-loss.ts";
  return undefined;
}

async function main(): Promise<number> {
  const reason = obstacle();
  if (reason !== undefined) {
    process.stderr.write(`power-loss: ${reason}\n`);
    return 2;
  }
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => stopping.abort(new Error(`ended by ${signal}`)));
  }
  const [rounds = ROUNDS, controls = CONTROL_ROUNDS] = process.argv.slice(2).map(Number);
  const stored = await cutPowerOften("store", rounds);
  const controlled = await cutPowerOften("control", controls);
  const full = await fillDisk();
  const wrong = [
    ...stored.flatMap(({ lost }) => lost),
    ...(lostIn(controlled) === 0 ? ["the control lost nothing: this run proves nothing"] : []),
    ...full,
  ];
  print(wrong.length === 0 ? "\nnothing that was acknowledged was lost" : `\nFAILED\n  ${wrong.join("\n  ")}`);
  return wrong.length === 0 ? 0 : 1;
}

process.exitCode = await main();
