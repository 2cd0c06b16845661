import { describe, expect, it } from "vitest";
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
    generate: async (password) => {
      state.asked.push(password);
      return state.answer ?? { token: `t${state.asked.length}`, lifeMs };
    },
  });
  return { state, tokens };
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
    state.answer = undefined;
    state.password = "four";
    expect(await tokens.get(never)).toBe("t4");
    old.resolve({ token: "t3", lifeMs: HOUR });
    expect(await third).toBe("t3");
    expect(await tokens.get(never)).toBe("t4");
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
      generate: () => Promise.reject(new Error("nobody should ask")),
    });
    expect(await failureOf(tokens.get(never))).toMatchObject({
      reason: "VENDOR_CREDENTIALS_REJECTED",
      outcome: "not_applied",
      message:
        "site gis: restartd's own password cannot be read; its operator has to put it where the configuration says",
    });
  });
});
