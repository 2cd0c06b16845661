import { describe, expect, it } from "vitest";
import { createCredentialGate } from "../../../src/clouds/credential-gate.ts";
import { Failure } from "../../../src/core/errors.ts";
import { createTokens, type Token } from "../../../src/targets/arcgis/token.ts";
import { failureOf } from "./site.ts";

const HOUR = 3_600_000;
const never = new AbortController().signal;

function make({ lifeMs = HOUR }: { lifeMs?: number } = {}) {
  const state = {
    now: 1_000_000,
    password: "one",
    asked: [] as string[],
    answer: undefined as Promise<Token> | undefined,
  };
  const tokens = createTokens({
    site: "gis",
    password: () => state.password,
    now: () => state.now,
    gates: { password: createCredentialGate(() => state.now), token: createCredentialGate(() => state.now) },
    generate: async (password) => {
      state.asked.push(password);
      return state.answer ?? { token: `t${state.asked.length}`, lifeMs };
    },
  });
  /** A token for a request that the site then takes. */
  const get = async (signal: AbortSignal): Promise<string> => {
    const { token, pass } = await tokens.get(signal);
    pass.accepted();
    return token;
  };
  return { state, tokens: { get, drop: tokens.drop } };
}

describe("createTokens()", () => {
  it("keeps a token until shortly before the end that the site named", async () => {
    const { state, tokens } = make();
    expect([await tokens.get(never), await tokens.get(never)]).toEqual(["t1", "t1"]);
    state.now += HOUR - 60_001;
    expect(await tokens.get(never)).toBe("t1");
    state.now += 1;
    expect(await tokens.get(never)).toBe("t2");
  });

  it("uses a token that lives shortly for half of its life", async () => {
    const { state, tokens } = make({ lifeMs: 10_000 });
    await tokens.get(never);
    state.now += 4_999;
    expect(await tokens.get(never)).toBe("t1");
    state.now += 1;
    expect(await tokens.get(never)).toBe("t2");
  });

  it("does not keep one that had expired when it was given", async () => {
    const { tokens } = make({ lifeMs: -1 });
    expect([await tokens.get(never), await tokens.get(never)]).toEqual(["t1", "t2"]);
  });

  it("asks once for all who want one at the same time", async () => {
    const { state, tokens } = make();
    expect(await Promise.all([tokens.get(never), tokens.get(never), tokens.get(never)])).toEqual(["t1", "t1", "t1"]);
    expect(state.asked).toEqual(["one"]);
  });

  it("lets one who leaves go without taking it from the others", async () => {
    const { state, tokens } = make();
    const answer = Promise.withResolvers<Token>();
    state.answer = answer.promise;
    const leaving = new AbortController();
    const [left, stays] = [tokens.get(leaving.signal), tokens.get(never)];
    leaving.abort(new Error("left"));
    await expect(left).rejects.toThrow("left");
    await expect(tokens.get(leaving.signal)).rejects.toThrow("left");
    answer.resolve({ token: "late", lifeMs: HOUR });
    expect([await stays, await tokens.get(never)]).toEqual(["late", "late"]);
    expect(state.asked).toHaveLength(1);
  });

  it("asks anew with a new password, be it while the old one is still asked with", async () => {
    const { state, tokens } = make();
    await tokens.get(never);
    state.password = "two";
    expect(await tokens.get(never)).toBe("t2");
    const old = Promise.withResolvers<Token>();
    state.answer = old.promise;
    state.password = "three";
    const third = tokens.get(never);
    await new Promise(setImmediate);
    state.answer = undefined;
    state.password = "four";
    // One at a time shows a password of which nobody knows whether it is taken.
    const fourth = tokens.get(never);
    old.resolve({ token: "t3", lifeMs: HOUR });
    expect([await third, await fourth, await tokens.get(never)]).toEqual(["t3", "t4", "t4"]);
    expect(state.asked).toEqual(["one", "two", "three", "four"]);
  });

  it("forgets what the site refused, and nothing newer", async () => {
    const { tokens } = make();
    const first = await tokens.get(never);
    tokens.drop(first);
    expect(await tokens.get(never)).toBe("t2");
    tokens.drop(first);
    expect(await tokens.get(never)).toBe("t2");
  });

  it("does not keep a failure", async () => {
    const { state, tokens } = make();
    state.answer = Promise.reject(new Error("away"));
    await expect(tokens.get(never)).rejects.toThrow("away");
    state.answer = undefined;
    expect(await tokens.get(never)).toBe("t2");
  });

  it("says whose fault it is that there is no password", async () => {
    const tokens = createTokens({
      site: "gis",
      password: () => {
        throw new Error("arcgis.sites[0].password.file: it is empty");
      },
      now: () => 0,
      gates: { password: createCredentialGate(() => 0), token: createCredentialGate(() => 0) },
      generate: () => Promise.reject(new Error("nobody should ask")),
    });
    expect(await failureOf(tokens.get(never))).toMatchObject({
      reason: "VENDOR_CREDENTIALS_REJECTED",
      outcome: "not_applied",
      message:
        "site gis: restartd's own password cannot be read; its operator has to put it where the configuration says",
    });
  });

  it("does not show a refused password again, before it changes or a while has passed", async () => {
    const { state, tokens } = make();
    const refused = new Failure("VENDOR_CREDENTIALS_REJECTED", "site gis: it gives no token");
    state.answer = Promise.reject(refused);
    expect(await failureOf(tokens.get(never))).toBe(refused);
    for (let count = 0; count < 5; count++) {
      expect(await failureOf(tokens.get(never))).toMatchObject({ reason: "VENDOR_CREDENTIALS_REJECTED" });
    }
    expect(state.asked).toEqual(["one"]);
    state.now += 60_000;
    expect(await failureOf(tokens.get(never))).toBe(refused);
    state.answer = undefined;
    state.password = "two";
    expect(await tokens.get(never)).toBe("t3");
    expect(state.asked).toEqual(["one", "one", "two"]);
  });
});
