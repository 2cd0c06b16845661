import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import type { HandlerContext } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { createAuthenticate } from "../../src/access/authenticate.ts";
import { createJwtVerifier } from "../../src/access/jwt.ts";
import { createTokenVerifier, hashOf, type Tokens } from "../../src/access/tokens.ts";
import { EVERYTHING_ALLOWED } from "../../src/core/access.ts";
import { type Principal, principalKey } from "../../src/core/principal.ts";
import { type Fixture, FORMS, ORIGIN, send, serve, validJson } from "../server/fixture.ts";

const TOKEN = `rsd_${randomBytes(32).toString("base64url")}`;
const RESTART = "/restart.kubernetes.v1.WorkloadService/Restart";
const JSON_TYPE = { "content-type": "application/json" };

const principal: Principal = {
  id: "token:nightly",
  authenticator: "token",
  username: "nightly",
  groups: ["token:ci"],
  claims: {},
  credential: "token nightly 12345678",
  expireTime: undefined,
};

let tokens: Tokens = new Map([[hashOf(TOKEN), principal]]);
let fixture: Fixture;
/** Who each handler was called by. */
const callers: string[] = [];
/** What the headers said that handlers got. */
const headers: (string | null)[] = [];

beforeAll(async () => {
  const seen = ({ values, requestHeader }: Pick<HandlerContext, "values" | "requestHeader">) => {
    callers.push(values.get(principalKey).id);
    headers.push(requestHeader.get("authorization"));
  };
  fixture = await serve(
    {
      restart: (_, context) => {
        seen(context);
        return {};
      },
      async *watchRollout(_, context) {
        seen(context);
        yield {};
        await new Promise((_, reject) => context.signal.addEventListener("abort", () => reject(context.signal.reason)));
      },
    },
    {
      access: {
        authenticate: createAuthenticate({
          token: createTokenVerifier(
            () => tokens,
            () => new Date(),
          ),
          jwt: createJwtVerifier(new Map(), { now: () => new Date(), monotonic: () => 0 }),
        }),
        // Another one than where nobody is asked, so that everything is judged.
        authorizer: { ...EVERYTHING_ALLOWED },
      },
    },
  );
});

afterAll(() => fixture[Symbol.asyncDispose]());

/** What is sent as Authorization, and the word that refuses it. */
const ATTACKS: readonly (readonly [string, string, string])[] = [
  ["nothing after the scheme", "Bearer", "MALFORMED"],
  ["another scheme", `Basic ${Buffer.from("a:b").toString("base64")}`, "MALFORMED"],
  ["no scheme", TOKEN, "MALFORMED"],
  ["two blanks", `Bearer  ${TOKEN}`, "MALFORMED"],
  ["a tab", `Bearer\t${TOKEN}`, "MALFORMED"],
  ["two tokens", `Bearer ${TOKEN} ${TOKEN}`, "MALFORMED"],
  ["two headers joined", `Bearer ${TOKEN}, Bearer ${TOKEN}`, "MALFORMED"],
  ["a word that is no token", "Bearer hunter2", "MALFORMED"],
  ["characters that no token has", "Bearer rsd_\u00e9", "MALFORMED"],
  ["more than 12 KiB", `Bearer rsd_${"a".repeat(12 * 1024)}`, "MALFORMED"],
  ["a token of nobody", `Bearer rsd_${"a".repeat(43)}`, "UNKNOWN_TOKEN"],
  ["a token in another case", `Bearer ${TOKEN.toUpperCase().replace("RSD_", "rsd_")}`, "UNKNOWN_TOKEN"],
  ["the beginning of a token", `Bearer ${TOKEN.slice(0, -1)}`, "UNKNOWN_TOKEN"],
  ["a token with padding", `Bearer ${TOKEN}=`, "UNKNOWN_TOKEN"],
  ["the hash of a token", `Bearer rsd_${hashOf(TOKEN)}`, "UNKNOWN_TOKEN"],
  ["a JWT of nobody", "Bearer eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.", "UNKNOWN_ISSUER"],
];

for (const http of [1, 2] as const) {
  describe.each(FORMS)(`authentication of $name over HTTP/${http}`, (form) => {
    const call = (headers: Record<string, string>) =>
      send(http, fixture.server.url, {
        path: form.path,
        headers: { "content-type": form.json, ...headers },
        open: true, // the body never comes: who is refused is refused without it
      });

    it("asks who calls, before the body", async () => {
      const before = callers.length;
      const answer = await call({});
      const error = form.error(answer);
      expect(error?.findDetails(ErrorInfoSchema)[0]).toMatchObject({
        reason: "UNAUTHENTICATED",
        metadata: { why: "NO_CREDENTIALS", outcome: "not_applied" },
      });
      expect(answer.status).toBe(form.status(401));
      expect(answer.headers["www-authenticate"]).toBe('Bearer realm="restartd"');
      expect(callers).toHaveLength(before);
    });

    it.each(ATTACKS)("refuses %s, and repeats nothing of it", async (_, authorization, why) => {
      const before = callers.length;
      const answer = await call({ authorization });
      const error = form.error(answer);
      expect(error?.findDetails(ErrorInfoSchema)[0]).toMatchObject({ reason: "UNAUTHENTICATED", metadata: { why } });
      expect(answer.status).toBe(form.status(401));
      expect(answer.headers["www-authenticate"]).toMatch(
        /^Bearer realm="restartd", error="invalid_token", error_description="[ !#-[\]-~]+"$/,
      );
      const said = JSON.stringify([answer.headers, answer.trailers, answer.body.toString("latin1"), fixture.lines]);
      for (const secret of authorization.split(/[ ,]+/).filter((part) => part.length > 10)) {
        expect(said).not.toContain(secret);
      }
      expect(callers).toHaveLength(before);
    });
  });

  describe(`over HTTP/${http}`, () => {
    it.each(["Bearer", "bearer", "BEARER"])("knows a caller by scheme %s, and the log has its name", async (scheme) => {
      const authorization = `${scheme} ${TOKEN}`;
      const answer = await send(http, fixture.server.url, {
        path: RESTART,
        headers: { ...JSON_TYPE, authorization },
        body: validJson(),
      });
      expect(answer.status).toBe(200);
      expect(answer.headers["www-authenticate"]).toBeUndefined();
      expect([callers.at(-1), headers.at(-1)]).toEqual(["token:nightly", null]); // the token itself is nobody's behind the port
      expect(
        await fixture.line((line) => line.principal === "token:nightly" && line.http === `${http}.${http % 2}`),
      ).toMatchObject({ authenticator: "token", code: "ok" });
    });

    it("tells strangers nothing of what is there", async () => {
      const answers = await Promise.all(
        ["/a.B/C", RESTART, "/", "/restart.kubernetes.v1.WorkloadService/Restat"].map((path) =>
          send(http, fixture.server.url, { path, headers: JSON_TYPE, body: "{}" }),
        ),
      );
      expect(new Set(answers.map(({ status, body }) => `${status} ${body}`)).size).toBe(1);
      expect(answers[0]?.status).toBe(401);
    });

    it.each(["Cookie", "X-Remote-User", "X-Forwarded-User", "Impersonate-User", "X-Forwarded-Client-Cert"])(
      "does not take %s for a credential",
      async (name) => {
        const headers = { ...JSON_TYPE, [name]: `authorization=Bearer ${TOKEN}` };
        const answer = await send(http, fixture.server.url, { path: RESTART, headers, body: validJson() });
        expect(answer.status).toBe(401);
      },
    );

    it("does not take a token out of a query", async () => {
      const path = `/restart.kubernetes.v1.WorkloadService/ListClusters?connect=v1&encoding=json&message=%7B%7D&access_token=${TOKEN}&authorization=Bearer%20${TOKEN}`;
      expect((await send(http, fixture.server.url, { path, method: "GET" })).status).toBe(401);
      const known = { authorization: `Bearer ${TOKEN}` };
      expect((await send(http, fixture.server.url, { path, method: "GET", headers: known })).status).toBe(200);
    });

    it("lets anybody ask for health, unless what they show does not hold", async () => {
      const check = (headers: Record<string, string>, method = "Check") =>
        send(http, fixture.server.url, {
          path: `/grpc.health.v1.Health/${method}`,
          headers: { ...JSON_TYPE, ...headers },
          body: "{}",
        });
      expect((await check({})).status).toBe(200);
      expect((await check({ authorization: `Bearer ${TOKEN}` })).status).toBe(200);
      expect((await check({ authorization: "Bearer rsd_x" })).status).toBe(401);
      expect((await check({}, "List")).status).toBe(401);
    });

    it("lets a page of an allowed origin send a token", async () => {
      const preflight = await send(http, fixture.server.url, {
        path: RESTART,
        method: "OPTIONS",
        headers: { origin: ORIGIN, "access-control-request-method": "POST" },
      });
      expect(preflight.status).toBe(204);
      expect(preflight.headers["access-control-allow-headers"]).toMatch(/, Authorization$/);
      expect(preflight.headers["access-control-allow-credentials"]).toBeUndefined();
    });
  });
}

it("refuses two Authorization headers, of which Node would keep the first", async () => {
  const { port } = fixture.server;
  const socket = connect(port, "127.0.0.1");
  socket.write(
    `POST ${RESTART} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: application/json\r\n` +
      `authorization: Bearer ${TOKEN}\r\nAuthorization: Bearer rsd_x\r\ncontent-length: 2\r\n\r\n{}`,
  );
  const answer = await text(socket);
  expect(answer).toMatch(/^HTTP\/1\.1 401 /);
  expect(answer).toContain('"why":"AMBIGUOUS"');
});

it.each([
  ["a Host of ours before another one", ["host: 127.0.0.1", "Host: evil.example"], 403],
  ["a Host of ours behind another one", ["host: evil.example", "host: 127.0.0.1"], 403],
  ["an address of ours and another Host", ["host: 127.0.0.1", "host: evil.example"], 403, `http://127.0.0.1${RESTART}`],
  [
    "pages of its own and of another site",
    ["host: 127.0.0.1", "sec-fetch-site: none", "Sec-Fetch-Site: cross-site"],
    403,
  ],
  ["Hosts that are all ours", ["host: 127.0.0.1", "host: localhost"], 200],
])(
  "judges all of what a request says of where it goes and comes from: %s",
  async (_, lines, status, path = RESTART) => {
    const { port } = fixture.server;
    const socket = connect(port, "127.0.0.1");
    const body = validJson();
    const headers = [
      ...lines,
      `authorization: Bearer ${TOKEN}`,
      "content-type: application/json",
      `content-length: ${Buffer.byteLength(body)}`,
      "connection: close",
    ];
    const before = callers.length;
    socket.write(`POST ${path} HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n${body}`);
    const answer = await text(socket);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    if (status === 403) expect(answer).toContain('"reason":"HOST_NOT_ALLOWED"');
    expect(callers.length - before).toBe(status === 200 ? 1 : 0);
  },
);

it("ends a stream whose token was taken away", async () => {
  const form = FORMS.find(({ name }) => name === "connect-stream");
  if (form === undefined) throw new Error("no such form");
  const called = callers.length;
  const answered = send(2, fixture.server.url, {
    path: form.path,
    headers: { "content-type": form.json, authorization: `Bearer ${TOKEN}` },
    body: form.frame(validJson()),
  });
  const before = tokens;
  try {
    await expect.poll(() => callers.length).toBeGreaterThan(called);
    tokens = new Map();
    const error = form.error(await answered);
    expect(error?.findDetails(ErrorInfoSchema)[0]).toMatchObject({
      reason: "UNAUTHENTICATED",
      metadata: { why: "EXPIRED", authenticator: "token" },
    });
  } finally {
    tokens = before;
  }
});
