/**
 * What the conformance suite's runner tests: our server with everything on, TLS, gate, authentication, rules and every interceptor, and
 * the suite's service on it.
 */
import { mkdtemp, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { create, createRegistry, type FileRegistry, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ConfigSchema, file_restart_config_v1_config } from "../../../gen/restart/config/v1/config_pb.ts";
import { type RunningAccess, readAccess } from "../../../src/access/access.ts";
import { catalogOf } from "../../../src/access/catalog.ts";
import { readTls } from "../../../src/config/tls.ts";
import { formatPath } from "../../../src/core/problem.ts";
import { withDependencies } from "../../../src/core/schema.ts";
import type { SectionReader } from "../../../src/core/section-reader.ts";
import { newValidator } from "../../../src/interceptors/validate.ts";
import type { Logger } from "../../../src/server/log.ts";
import { startServer } from "../../../src/server/server.ts";
import { openTls, type Tls } from "../../../src/server/tls.ts";
import { messageIn, type ServerCompatRequest } from "./schema.ts";
import { ACCESS, createConformanceRoute } from "./service.ts";

/** What the servers under test work with. */
export interface TestedOptions {
  /** Of the suite's schema. */
  readonly registry: FileRegistry;
  /** Folder with `tokens.yaml` and `policy.yaml`, by which callers are judged. */
  readonly folder: string;
  /** The token of whoever shows none: the runner cannot send one. */
  readonly token: string;
  readonly log: Logger;
}

/**
 * Listens on a socket for forward.ts, which the runner starts for each server that it wants, and starts that server here: a process of
 * its own for each would have to be up within the runner's ten seconds, which a busy machine does not give it. A server ends with the
 * connection that asked for it.
 */
export async function listenForRunner(path: string, options: TestedOptions): Promise<AsyncDisposable> {
  const sockets = new Set<Promise<void>>();
  const broken: unknown[] = [];
  const host = createServer((socket) => {
    sockets.add(
      serveOne(socket, options).catch((error: unknown) => {
        broken.push(error);
        socket.destroy();
      }),
    );
  });
  await new Promise<void>((resolve) => host.listen(path, resolve));
  return {
    async [Symbol.asyncDispose]() {
      host.close();
      await Promise.all(sockets);
      if (broken.length > 0) throw new AggregateError(broken, "some servers under test did not start");
    },
  };
}

async function serveOne(socket: Socket, options: TestedOptions): Promise<void> {
  const gone = new Promise<void>((resolve) => socket.once("close", resolve));
  socket.on("error", () => {}); // the runner ends its processes by signals
  const desc = messageIn(options.registry, "ServerCompatRequest");
  const request = fromBinary(desc, await readSized(socket)) as ServerCompatRequest;
  await using stack = new AsyncDisposableStack();
  const access = stack.use(openAccess(options));
  const tls =
    request.useTls && request.serverCreds ? stack.use(await encrypt(request.serverCreds, options)) : undefined;
  const server = stack.use(
    await startServer({
      host: "127.0.0.1",
      port: 0,
      routes: [createConformanceRoute(options.registry)],
      // A call whose caller sets no deadline has none, so that it is seen who set one.
      deadline: { defaultMs: Number.POSITIVE_INFINITY, maxMs: Number.POSITIVE_INFINITY },
      allowedOrigins: [],
      access,
      tls,
      log: options.log,
      readMaxBytes: request.messageReceiveLimit,
    }),
  );
  const response = messageIn(options.registry, "ServerCompatResponse");
  const pemCert = request.useTls ? request.serverCreds?.cert : undefined;
  const answer = toBinary(
    response,
    create(response, { host: "127.0.0.1", port: server.port, ...(pemCert && { pemCert }) }),
  );
  const size = Buffer.alloc(4);
  size.writeUInt32BE(answer.length);
  socket.write(Buffer.concat([size, answer]));
  socket.resume(); // its end is not seen otherwise
  await gone;
}

/** The first message of a connection: four bytes say how long it is. The connection stays open. */
async function readSized(socket: Socket): Promise<Uint8Array> {
  let held = Buffer.alloc(0);
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    held = Buffer.concat([held, chunk]);
    if (held.length >= 4 && held.length >= 4 + held.readUInt32BE()) return held.subarray(4);
  }
  throw new Error("the runner's request breaks off");
}

const refuse = (what: string): never => {
  throw new Error(what);
};

/** Reads sections of a configuration: whatever is wrong with them ends the test. */
const readerIn = (folder: string): SectionReader => ({
  resolve: (path) => join(folder, path),
  problem: (field, message) => refuse(`${formatPath(field)} ${message}`),
  warning: (field, message) => refuse(`${formatPath(field)} ${message}`),
  problemElsewhere: ({ field, message }) => refuse(`${field} ${message}`),
  warningElsewhere: ({ field, message }) => refuse(`${field} ${message}`),
  whereIs: () => "",
});

/** Who may do what, by the files of tokens and rules. Whoever shows no token is given one, which is verified then like any other. */
function openAccess({ folder, token, log }: TestedOptions): RunningAccess {
  const sections = create(ConfigSchema, {
    authentication: { tokens: { file: "tokens.yaml" } },
    authorization: { file: "policy.yaml" },
  });
  const registry = createRegistry(...withDependencies([file_restart_config_v1_config]));
  const now = (): Date => new Date();
  const options = { validator: newValidator(registry), now, catalog: catalogOf([], [ACCESS]), registry };
  const open = readAccess(sections, readerIn(folder), options) ?? refuse("nobody is asked who they are");
  const access = open({
    now,
    monotonic: () => performance.now(),
    warn: (detail) => log.warn({ detail }, "something is wrong with who may do what"),
  });
  return {
    ...access,
    authenticate: ({ authorization, ...others }) =>
      access.authenticate({
        ...others,
        authorization: authorization.length === 0 ? [`Bearer ${token}`] : authorization,
      }),
  };
}

/** Encrypts by the certificate that the runner gives. */
async function encrypt(
  { cert, key }: NonNullable<ServerCompatRequest["serverCreds"]>,
  { folder, log }: TestedOptions,
): Promise<Tls> {
  const own = await mkdtemp(join(folder, "tls-"));
  await writeFile(join(own, "tls.crt"), cert);
  await writeFile(join(own, "tls.key"), key, { mode: 0o600 });
  const { tls } = create(ConfigSchema, {
    tls: { certificate: "tls.crt", key: { source: { case: "file", value: "tls.key" } } },
  });
  const now = (): Date => new Date();
  // The runner makes its certificate for the one run: that it ends soon is nothing to warn of.
  const settings = readTls(tls, { ...readerIn(own), warning: () => {} }, now());
  return settings?.kind === "certificate" ? openTls(settings, { now, log }) : refuse("the certificate is not used");
}
