import { randomUUID } from "node:crypto";
import { chownSync } from "node:fs";
import { chmod, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { stringify } from "yaml";
import { StoreRefused } from "../../../src/operations/store/store.ts";
import { type CertificateRequest, createAuthority } from "../../cluster/certificates.ts";
import { type Folder, temporaryFolder } from "../../support/folder.ts";
import { type Postgres, postgresMissing, startPostgres, unprivileged } from "../../support/postgres.ts";
import { runProgram, startProgram } from "../../support/program.ts";
import { record } from "../records.ts";
import { openAt } from "./open-postgres.ts";

/** What something comes to after a while is waited for so long. */
const PATIENT = { timeout: 60_000 };

const UNVERIFIED =
  "PostgreSQL's certificate is not verified: whoever is in between can read and change operations; say sslmode=verify-full in the store's address, and sslrootcert";
const taken = (mode: string) =>
  `the address of the PostgreSQL store says sslmode=${mode}, which is taken for sslmode=verify-full: say that`;

describe.skipIf(postgresMissing())("TLS with PostgreSQL", () => {
  const authority = createAuthority("database authority");
  let folder: Folder;
  let server: Postgres;
  /** Address of a store that is made already. */
  let plain: string;
  const path = (name: string): string => join(folder.path, name);

  /** Writes a file that PostgreSQL may read, and nobody else. */
  async function write(name: string, text: string): Promise<string> {
    const file = path(name);
    await writeFile(`${file}.new`, text);
    const user = unprivileged();
    if (user !== undefined) chownSync(`${file}.new`, user.uid, user.gid);
    await chmod(`${file}.new`, 0o600);
    await rename(`${file}.new`, file);
    return file;
  }

  /** Settings of a server that has a certificate. */
  async function certified(name: string, request: Partial<CertificateRequest> = {}) {
    const { cert, key } = authority.issue({ commonName: "db", usage: "server", hosts: ["127.0.0.1"], ...request });
    const [certFile, keyFile] = [await write(`${name}.crt`, cert), await write(`${name}.key`, key)];
    return { ssl: "on", ssl_cert_file: certFile, ssl_key_file: keyFile };
  }

  async function restart(settings: Readonly<Record<string, string>>): Promise<void> {
    await server.stop();
    await server.start(settings);
  }

  beforeAll(async () => {
    folder = await temporaryFolder();
    await chmod(folder.path, 0o711);
    await write("ca.crt", authority.cert);
    await write("other.crt", createAuthority("somebody").cert);
    server = await startPostgres({ listen_addresses: "127.0.0.1,::1" });
    plain = await server.database();
    await (await openAt(plain))[Symbol.asyncDispose]();
    await restart(await certified("good", { hosts: ["127.0.0.1", "::1"] }));
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  const refusal = async (url: string): Promise<string> => {
    const error = await openAt(url).then(
      (store) => store[Symbol.asyncDispose](),
      (reason: unknown) => reason,
    );
    if (!(error instanceof StoreRefused)) throw new Error("it was not refused", { cause: error });
    return error.message;
  };
  const verifying = (url = plain, ca = "ca.crt") => `${url}?sslmode=verify-full&sslrootcert=${path(ca)}`;
  /** Does something with a store, and answers what was warned of, and whether all of its connections are encrypted. */
  async function use(url: string): Promise<{ warned: string[]; encrypted: boolean }> {
    const warned: string[] = [];
    await using store = await openAt(url, { warn: (message) => warned.push(message) });
    const one = record();
    await store.insert([one], { event: "accepted" });
    expect(await store.get(one.name)).toEqual(one);
    // Who listens has a connection as well.
    const all = await vi.waitFor(async () => {
      const [counted] = await server.sql(
        "select bool_and(ssl) as encrypted, count(*)::int as connections from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'restartd'",
      );
      expect(counted?.connections).toBeGreaterThan(1);
      return counted;
    }, PATIENT);
    return { warned, encrypted: all?.encrypted === true };
  }

  it("is verified: authority and host, over IPv4 and IPv6", async () => {
    for (const url of [plain, plain.replace("127.0.0.1", "[::1]")]) {
      expect(await use(verifying(url)), url).toEqual({ warned: [], encrypted: true });
    }
  });

  it.each(["require", "prefer", "verify-ca"])("is verified for sslmode=%s too, which the log says", async (mode) => {
    const emitted = vi.spyOn(process, "emitWarning");
    const url = `${plain}?sslmode=${mode}`;
    expect(await use(`${url}&sslrootcert=${path("ca.crt")}`)).toEqual({ warned: [taken(mode)], encrypted: true });
    expect(await refusal(url)).toMatch("PostgreSQL's certificate is from an authority that restartd does not trust");
    expect(emitted).not.toHaveBeenCalled();
    emitted.mockRestore();
  });

  it.each(["sslmode=no-verify", "uselibpqcompat=true&sslmode=require"])(
    "is used without being verified where %s says so, which the log says",
    async (says) => {
      expect(await use(`${plain}?${says}`)).toEqual({ warned: [UNVERIFIED], encrypted: true });
    },
  );

  it("says what to do about another authority", async () => {
    expect(await refusal(verifying(plain, "other.crt"))).toBe(
      "PostgreSQL's certificate is from an authority that restartd does not trust (UNABLE_TO_VERIFY_LEAF_SIGNATURE): let sslrootcert in the store's address name a file with the authority's certificate.",
    );
    expect(await refusal(verifying(plain, "none.crt"))).toBe(
      `The address of the PostgreSQL store names ${path("none.crt")}, which cannot be read (ENOENT): sslrootcert, sslcert and sslkey are paths of PEM files.`,
    );
  });

  it("says what to do about another name", async () => {
    const url = verifying(plain.replace("127.0.0.1", "localhost"));
    expect(await refusal(url)).toMatch(
      /^PostgreSQL's certificate is for another name: let the store's address name the host as its certificate does, or give the server a certificate for that name \(Host: localhost\. /,
    );
  });

  it("says what to do about a password and a role that are not let in", async () => {
    const file = await write(
      "pg_hba.conf",
      "host all postgres 127.0.0.1/32 trust\nhostssl all all all scram-sha-256\n",
    );
    await server.sql("create role careful login password 'right'");
    await restart({ ...(await certified("good")), hba_file: file });
    const as = (who: string) => plain.replace("postgres@", `${who}@`);
    expect(await refusal(verifying(as("careful:hunter2")))).toBe(
      "PostgreSQL does not let restartd in (password authentication failed for user \"careful\"): make sure that the store's address has its role's password, with special characters percent-encoded.",
    );
    expect(await refusal(as("careful:right"))).toMatch(
      /^PostgreSQL does not let restartd in \(no pg_hba.conf entry for host "127.0.0.1", user "careful", database "test_1", no encryption\): add its role, database and host to pg_hba.conf; where that says hostssl, the store's address needs sslmode=verify-full, /,
    );
  });

  it("shows a certificate of our own where the server asks for one", async () => {
    const file = await write(
      "pg_hba.conf",
      "hostssl all all 127.0.0.1/32 trust clientcert=verify-ca\nhost all postgres ::1/128 trust\n",
    );
    await write("client.crt", "");
    const own = authority.issue({ commonName: "postgres", usage: "client" });
    const stranger = createAuthority("somebody").issue({ commonName: "postgres", usage: "client" });
    for (const [name, { cert, key }] of Object.entries({ own, stranger })) {
      await write(`${name}.crt`, cert);
      await write(`${name}.key`, key);
    }
    const shown = (name: string) => `${verifying()}&sslcert=${path(`${name}.crt`)}&sslkey=${path(`${name}.key`)}`;
    await server.stop();
    // Nobody without a certificate is let in, who looks whether it has started among them.
    await server.start(
      { ...(await certified("good")), hba_file: file, ssl_ca_file: path("ca.crt") },
      server.url.replace("127.0.0.1", "[::1]"),
    );
    await (await openAt(shown("own")))[Symbol.asyncDispose]();
    expect(await refusal(verifying())).toMatch(
      "PostgreSQL does not let restartd in (connection requires a valid client certificate): add its role, database and host to pg_hba.conf; where that says hostssl, the store's address needs sslmode=verify-full, and for clientcert sslcert and sslkey as well.",
    );
    expect(await refusal(shown("stranger"))).toMatch(
      /^TLS with PostgreSQL fails \(tlsv1 alert unknown ca\): make sure/,
    );
  });

  it("says what to do about a certificate that has expired, at a start and while it runs", async () => {
    await restart(await certified("good"));
    await using store = await openAt(verifying());
    const one = record();
    await store.insert([one], { event: "accepted" });
    await restart(await certified("late", { expired: true }));
    const said =
      "PostgreSQL's certificate has expired: give the server a new one (ssl_cert_file) and have it reload (certificate has expired).";
    expect(await refusal(verifying())).toBe(said);
    await expect(store.get(one.name)).rejects.toThrow(said);
    await restart(await certified("good"));
    expect(await store.get(one.name)).toEqual(one);
  });

  it("says what to do about a server without TLS", async () => {
    await restart({ ssl: "off" });
    expect(await refusal(verifying())).toBe(
      "PostgreSQL speaks no TLS, and the store's address asks for it (The server does not support SSL connections): set ssl=on and a certificate in postgresql.conf, or, where nobody can listen in between, sslmode=disable in the address.",
    );
    await (await openAt(`${plain}?sslmode=disable`))[Symbol.asyncDispose]();
  });

  it("outlives files of the address that are away for a moment", async () => {
    await restart(await certified("good"));
    await write("moved.crt", authority.cert);
    await using store = await openAt(verifying(plain, "moved.crt"));
    await using other = await openAt(verifying());
    const heard = vi.fn();
    store.subscribe(heard);
    const one = record();
    await store.insert([one], { event: "accepted" });
    await rename(path("moved.crt"), path("away.crt"));
    await server.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'restartd'");
    const said = `The address of the PostgreSQL store names ${path("moved.crt")}, which cannot be read (ENOENT)`;
    await vi.waitFor(() => expect(store.get(one.name)).rejects.toThrow(said), PATIENT);
    await rename(path("away.crt"), path("moved.crt"));
    await vi.waitFor(async () => expect(await store.get(one.name)).toEqual(one), PATIENT);
    // Who listens has gone on trying.
    let now = await other.get(one.name);
    await vi.waitFor(
      async () => {
        now = now && (await other.change(now, { progress: randomUUID() }, undefined));
        expect(heard).toHaveBeenCalledWith(one.name);
      },
      { ...PATIENT, interval: 200 },
    );
  });

  describe("the program", () => {
    const arcgis = {
      sites: [{ name: "gis", admin_url: "https://gis.example.com/a/admin", username: "u", password: { env: "P" } }],
    };

    it("writes JSON alone for sslmode=require, and has its store and its listeners on IPv6", async () => {
      await restart(await certified("good", { hosts: ["::1"] }));
      const url = `${plain.replace("127.0.0.1", "[::1]")}?sslmode=require&sslrootcert=${path("ca.crt")}`;
      const sections = { listen: "[::1]:0", admin: { listen: "[::1]:0" }, store: { postgres: { url: { env: "DB" } } } };
      const file = await folder.write("restartd.yaml", stringify({ arcgis, ...sections }));
      await using program = await startProgram(["--config", file], { P: "x", DB: url });
      expect(program.url).toMatch(/^http:\/\/\[::1\]:\d+$/);
      const ready = await program.line(({ msg }) => msg === "ready");
      expect(ready.admin).toMatch(/^http:\/\/\[::1\]:\d+$/);
      expect((await fetch(`${ready.admin}/readyz?require=store`)).status).toBe(200);
      const listed = await fetch(`${program.url}/google.longrunning.Operations/ListOperations`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: "{}",
      });
      expect(listed.status).toBe(200);
      expect(program.log).toContainEqual(expect.objectContaining({ level: "warn", detail: taken("require") }));
      expect(await program.stop()).toBe(0);
    });

    it("refuses to start with one line that says what to do", async () => {
      const store = { postgres: { url: { env: "DB" } } };
      const file = await folder.write("restartd.yaml", stringify({ arcgis, listen: "127.0.0.1:0", store }));
      const { code, stderr } = await runProgram(["--config", file], { P: "x", DB: `${plain}?sslmode=require` });
      expect(code).toBe(1);
      const lines = stderr
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as object);
      expect(lines.at(-1)).toMatchObject({
        level: "fatal",
        msg: "cannot start",
        detail: expect.stringContaining("PostgreSQL's certificate is "),
      });
    });

    it("refuses an address of several hosts", async () => {
      const store = { postgres: { url: { env: "DB" } } };
      const file = await folder.write("restartd.yaml", stringify({ arcgis, listen: "127.0.0.1:0", store }));
      for (const hosts of ["a:5432,b:5432", "a,b"]) {
        const env = { P: "x", DB: `postgres://u:hunter2@${hosts}/restartd?target_session_attrs=primary` };
        const { code, stderr } = await runProgram(["--config", file], env);
        expect(code).toBe(2);
        expect(stderr).toContain("must hold an address of one host, that always leads to the primary");
        expect(stderr).not.toContain("hunter2");
      }
    });
  });
});
