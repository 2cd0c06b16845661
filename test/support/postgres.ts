import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import pg from "pg";
import { freePorts } from "../cluster/ports.ts";
import { findPostgres } from "../e2e/tools.ts";

/** A PostgreSQL server of our own on loopback: real, empty, and gone with what is in it at the end. */
export interface Postgres extends AsyncDisposable {
  readonly port: number;
  /** Of the superuser, who needs no password, and the database `postgres`. */
  readonly url: string;
  /** Makes a database, a copy of `template` if that is given (an address, to which nobody is connected); answers its address. */
  database(template?: string): Promise<string>;
  /** An address like another one, by way of another port of loopback. */
  through(url: string, port: number): string;
  /** Runs one statement as the superuser in a database. */
  sql(text: string, url?: string): Promise<Record<string, unknown>[]>;
  /** SIGKILL for all of its processes at once; resolves when they are gone. */
  kill(): Promise<void>;
  /** Ends it in order, whoever is connected. */
  stop(): Promise<void>;
  /** Starts it again, with these settings on top of its first ones. Resolves when it answers, at `url` where that is given. */
  start(settings?: Readonly<Record<string, string>>, url?: string): Promise<void>;
  /** SIGSTOP for all of its processes: connections stay open, and nobody answers. */
  pause(): void;
  /** SIGCONT. */
  resume(): void;
}

/** After a crash it first syncs every file, which takes its time on a busy disk. */
const START_MS = 60_000;

/** Whether tests against PostgreSQL must be skipped; says so, and throws with `RESTARTD_TEST_E2E=required`. */
export function postgresMissing(): boolean {
  if (findPostgres() !== undefined) return false;
  const reason = "PostgreSQL is not there; install it by: node test/e2e/setup.ts";
  if (process.env.RESTARTD_TEST_E2E === "required") throw new Error(reason);
  process.stderr.write(`\n  SKIPPED: every test against PostgreSQL: ${reason}\n\n`);
  return true;
}

/** Makes and starts a server, with these settings. Nothing is as slow as durability, but tests of it want it: `fsync` is on. */
export async function startPostgres(settings: Readonly<Record<string, string>> = {}): Promise<Postgres> {
  const { folder, options, programs } = await prepare();
  const data = join(folder, "data");
  const initdb = ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"];
  await promisify(execFile)(join(programs, "initdb"), initdb, options);
  const [port = 0] = await freePorts(1);
  return new Server(folder, port, join(programs, "postgres"), options, settings).begin();
}

/** A folder for a server, and how its programs are run. */
async function prepare() {
  const programs = findPostgres();
  if (programs === undefined) throw new Error("PostgreSQL is not there; install it by: node test/e2e/setup.ts");
  const user = unprivileged();
  const folder = await mkdtemp(join(tmpdir(), "restartd-postgres-"));
  if (user !== undefined) chownSync(folder, user.uid, user.gid);
  await mkdir(join(folder, "log"));
  const options = { ...user, cwd: folder, env: { PATH: process.env.PATH, LC_ALL: "C.UTF-8", TZ: "UTC" } };
  return { folder, options, programs };
}

/**
 * Makes and starts a standby of a server, which follows it. Before it is promoted it can be asked at {@link Postgres.url}, and nothing more.
 *
 * @param synchronous whether the server waits from now on until the standby has everything that it commits.
 */
export async function startStandby(primary: Postgres, { synchronous }: { synchronous: boolean }): Promise<Postgres> {
  const { folder, options, programs } = await prepare();
  const connection = ["-h", "127.0.0.1", "-p", String(primary.port), "-U", "postgres"];
  const copy = ["-D", join(folder, "data"), "-R", "-X", "stream", "-c", "fast", "--no-sync"];
  await promisify(execFile)(join(programs, "pg_basebackup"), [...connection, ...copy], options);
  const [port = 0] = await freePorts(1);
  const standby = await new Server(folder, port, join(programs, "postgres"), options, {}).begin();
  if (synchronous) {
    await primary.sql("alter system set synchronous_standby_names = '*'");
    await primary.sql("select pg_reload_conf()");
  }
  const state = synchronous ? "sync" : "async";
  const deadline = performance.now() + START_MS;
  for (;;) {
    const [followed] = await primary.sql("select sync_state, state from pg_stat_replication");
    if (followed?.state === "streaming" && followed.sync_state === state) {
      await primary.sql("checkpoint"); // who makes it tells commits to wait, once it has read its settings again
      return standby;
    }
    if (performance.now() > deadline) throw new Error("the standby does not follow");
    await delay(25); // nothing tells but asking
  }
}

/** Has a standby take the place of its primary, which is gone. Resolves when it can be written to. */
export async function promote(standby: Postgres): Promise<void> {
  const [promoted] = await standby.sql("select pg_promote(true, 60) as done");
  if (promoted?.done !== true) throw new Error("the standby was not promoted");
}

/** Whom to run it as: PostgreSQL refuses root. */
export function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const lines = readFileSync("/etc/passwd", "utf8").split("\n");
  for (const name of ["postgres", "nobody"]) {
    const [, , uid, gid] = lines.find((line) => line.startsWith(`${name}:`))?.split(":") ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error("PostgreSQL cannot run as root, and there is no user `postgres` or `nobody`");
}

class Server implements Postgres {
  readonly port: number;
  readonly url: string;
  readonly #folder: string;
  readonly #program: string;
  readonly #options: object;
  readonly #settings: Readonly<Record<string, string>>;
  readonly #watchdog: ChildProcess;
  #child: ChildProcess | undefined;
  #databases = 0;

  constructor(
    folder: string,
    port: number,
    program: string,
    options: object,
    settings: Readonly<Record<string, string>>,
  ) {
    this.#folder = folder;
    this.port = port;
    this.url = `postgres://postgres@127.0.0.1:${port}/postgres`;
    this.#program = program;
    this.#options = options;
    this.#settings = settings;
    this.#watchdog = spawn(process.execPath, [join(import.meta.dirname, "../cluster/watchdog.ts"), folder], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
      env: {},
    });
    this.#watchdog.unref();
  }

  async begin(): Promise<Postgres> {
    try {
      await this.start();
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
    return this;
  }

  async start(settings: Readonly<Record<string, string>> = {}, url = this.url): Promise<void> {
    const all = {
      listen_addresses: "127.0.0.1",
      port: String(this.port),
      unix_socket_directories: "",
      max_connections: "200",
      shared_buffers: "32MB",
      ...this.#settings,
      ...settings,
    };
    const args = Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const file = join(this.#folder, "log", "postgres.log");
    const log = openSync(file, "a");
    const child = spawn(this.#program, ["-D", join(this.#folder, "data"), ...args], {
      ...this.#options,
      stdio: ["ignore", log, log],
      detached: true,
    });
    closeSync(log);
    this.#child = child;
    this.#watchdog.stdin?.write(`+ ${child.pid}\n`);
    child.once("exit", () => this.#watchdog.stdin?.write(`- ${child.pid}\n`));
    const deadline = performance.now() + START_MS;
    for (;;) {
      if (child.exitCode !== null || performance.now() > deadline) {
        throw new Error(`PostgreSQL did not start; its log:\n${readFileSync(file, "utf8").slice(-2_000)}`);
      }
      if (await this.#answers(url)) return;
      await delay(25); // nothing tells when it listens but trying
    }
  }

  async #answers(url: string): Promise<boolean> {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 1_000 });
    client.on("error", () => undefined); // it is asked again
    try {
      await client.connect();
      return true;
    } catch {
      return false; // not yet: `start` bounds how often this is asked
    } finally {
      await client.end();
    }
  }

  async database(template?: string): Promise<string> {
    this.#databases += 1;
    const name = `test_${this.#databases}`;
    await this.sql(`create database ${name} template ${template?.split("/").at(-1) ?? "template1"}`);
    return this.url.replace(/postgres$/, name);
  }

  through(url: string, port: number): string {
    return url.replace(`:${this.port}/`, `:${port}/`);
  }

  async sql(text: string, url = this.url): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(text)).rows;
    } finally {
      await client.end();
    }
  }

  kill = async (): Promise<void> => {
    await this.#end("SIGKILL");
  };

  stop = async (): Promise<void> => {
    await this.#end("SIGINT"); // a "fast" shutdown
  };

  async #end(signal: "SIGKILL" | "SIGINT"): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    const all = signal === "SIGKILL" ? this.#processes() : [child.pid ?? 0];
    for (const pid of all) send(pid, signal);
    await exited;
    // A new postmaster refuses to start while a process of the old one holds its shared memory.
    while (all.some((pid) => existsSync(`/proc/${pid}`))) await delay(5);
  }

  pause(): void {
    // The postmaster first: it could start another one meanwhile.
    for (const pid of this.#processes()) send(pid, "SIGSTOP");
    for (const pid of this.#processes()) send(pid, "SIGSTOP");
  }

  resume(): void {
    for (const pid of this.#processes()) send(pid, "SIGCONT");
  }

  #processes(): number[] {
    const pid = this.#child?.pid;
    if (pid === undefined || this.#child?.exitCode !== null) return [];
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
    return [pid, ...children.trim().split(/\s+/).filter(Boolean).map(Number)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    this.#watchdog.stdin?.end();
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It ended by itself meanwhile.
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
