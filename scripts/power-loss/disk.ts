import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** `_IOR('X', 125, __u32)` of fs/ext4/ext4.h. */
const EXT4_IOC_SHUTDOWN = 0x8004587d;
/** EXT4_GOING_FLAGS_NOLOGFLUSH: nothing is written any more, the journal neither. */
const NOLOGFLUSH = 2;

const CUT = `
import fcntl, os, struct, sys
folder = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(folder, ${EXT4_IOC_SHUTDOWN}, struct.pack("I", ${NOLOGFLUSH}))
`;

/** An ext4 file system of our own on a loop device, mounted in a temporary folder; unmounted and removed at the end. */
export class Disk implements Disposable {
  /** Where it is mounted. */
  readonly path: string;
  readonly #folder: string;
  #device: string | undefined;
  #mounted = false;

  /** @param bytes its size; ext4 itself takes some of that. */
  constructor(bytes: number) {
    this.#folder = mkdtempSync(join(tmpdir(), "restartd-power-loss-"));
    this.path = join(this.#folder, "mounted");
    try {
      const image = join(this.#folder, "image");
      writeFileSync(image, "");
      truncateSync(image, bytes);
      run("mkfs.ext4", "-q", "-F", "-m", "0", image);
      mkdirSync(this.path);
      this.#device = run("losetup", "--find", "--show", image).trim();
      this.mount();
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** The power fails: what is not on the disk by now never gets there. Whoever has files open gets errors from then on. */
  cut(): void {
    run("python3", "-c", CUT, this.path);
  }

  /** The power is back: replays the file system's journal. */
  mount(): void {
    if (this.#device === undefined) throw new Error("the disk is gone");
    run("mount", "-t", "ext4", this.#device, this.path);
    this.#mounted = true;
  }

  /** Takes it away with what the kernel remembers of it. Nobody may have files of it open. */
  unmount(): void {
    run("umount", this.path);
    this.#mounted = false;
  }

  [Symbol.dispose](): void {
    if (this.#mounted) this.unmount();
    if (this.#device !== undefined) run("losetup", "--detach", this.#device);
    this.#device = undefined;
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: "utf8" });
}
