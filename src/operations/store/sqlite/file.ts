import { chmodSync, closeSync, openSync, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { StoreRefused } from "../store.ts";

/** What is asked of a file system: `type` of statfs(2). */
export type Statfs = (path: string) => { readonly type: number };

/** File systems on which locks or syncs cannot be relied on, by the type that statfs(2) gives. */
const NETWORK: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB2"],
  [0x01021997, "9p"],
  [0x65735546, "FUSE"],
  [0x00c36400, "Ceph"],
  [0x5346414f, "AFS"],
  [0x6b414653, "AFS"],
  [0x73757245, "Coda"],
  [0x564c, "NCP"],
  [0x01161970, "GFS2"],
  [0x7461636f, "OCFS2"],
  [0x0bd00bd0, "Lustre"],
  [0x47504653, "GPFS"],
  [0x19830326, "BeeGFS"],
  [0x786f4256, "VirtualBox shared folder"],
  [0xbacbacbc, "VMware shared folder"],
]);

/** File systems that a restart of the machine empties. */
const MEMORY: ReadonlyMap<number, string> = new Map([
  [0x01021994, "tmpfs"],
  [0x858458f6, "ramfs"],
]);

/**
 * Makes sure that a database file may be at a path, and makes it if there is none, for its owner alone. It is never opened when it is
 * there: to close it again would take away the locks that SQLite has on it in this process.
 *
 * @throws StoreRefused
 */
export function prepareFile(path: string, warn: (message: string) => void, statfs: Statfs = statfsSync): void {
  const folder = dirname(path);
  refuseFolder(path, folder, statfs, warn);
  const stat = statSync(path, { throwIfNoEntry: false });
  try {
    if (stat === undefined) closeSync(openSync(path, "wx", 0o600));
    else if (!stat.isFile())
      throw new StoreRefused(`${path} is not a file: set store.sqlite.path to the path of a file.`);
    else if ((stat.mode & 0o077) !== 0) chmodSync(path, 0o600);
  } catch (error) {
    if (error instanceof StoreRefused) throw error;
    throw new StoreRefused(
      `${path} cannot be made a file of this user alone (${reasonOf(error)}): set store.sqlite.path to a folder that this user may write to.`,
      { cause: error },
    );
  }
}

function refuseFolder(path: string, folder: string, statfs: Statfs, warn: (message: string) => void): void {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    throw new StoreRefused(`The folder ${folder} of the store does not exist: make it, or set store.sqlite.path.`);
  }
  // Some systems give the type as a signed number.
  const type = statfs(folder).type >>> 0;
  const network = NETWORK.get(type);
  if (network !== undefined) {
    throw new StoreRefused(
      `${path} is on a network file system (${network}), where SQLite can lose what it has written: set store.sqlite.path to a local disk, or use store.postgres.`,
    );
  }
  const memory = MEMORY.get(type);
  if (memory !== undefined) {
    warn(
      `${path} is in memory (${memory}): when the machine restarts, restartd forgets which request ids were used, and a repeated request restarts again. Set store.sqlite.path to a disk.`,
    );
  }
}

/** The system's name of an error, such as EACCES. */
export const reasonOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : String(error);
