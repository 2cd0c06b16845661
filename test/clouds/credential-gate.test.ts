import { describe, expect, it } from "vitest";
import { createCredentialGate, credentialGate, type GateCaller } from "../../src/clouds/credential-gate.ts";
import { Failure } from "../../src/core/errors.ts";

const never = new AbortController().signal;
const site = (name: string): GateCaller => ({ place: `site ${name}`, metadata: { site: name } });
const refusal = new Failure("VENDOR_CREDENTIALS_REJECTED", "site a: it gives no token", {
  metadata: { site: "a", vendor_code: "400" },
});

function make() {
  const clock = { ms: 0 };
  const gate = createCredentialGate(() => clock.ms);
  /** Shows a secret: what becomes of it. */
  const show = async (secret: string, becomes: "accepted" | "refused" | "leave" = "refused"): Promise<string> => {
    try {
      const pass = await gate.enter(secret, site("a"), never);
      if (becomes === "refused") pass.refused(refusal);
      else pass[becomes]();
      return "shown";
    } catch (error) {
      if (error instanceof Failure) return error.message;
      throw error;
    }
  };
  return { clock, gate, show };
}

describe("a credential gate", () => {
  it("shows a refused secret again after a pause that grows, and not before", async () => {
    const { clock, show } = make();
    for (const pauseMs of [60_000, 300_000, 900_000, 900_000]) {
      expect(await show("one")).toBe("shown");
      clock.ms += pauseMs - 1;
      expect(await show("one")).toContain("it gives no token; that was");
      clock.ms += 1;
    }
    expect(await show("one", "accepted")).toBe("shown");
    expect(await show("one")).toBe("shown");
    clock.ms += 60_000;
    expect(await show("one"), "the pauses begin anew").toBe("shown");
  });

  it("tells each caller the refusal in its own place, with how long it lasts", async () => {
    const { clock, gate, show } = make();
    await show("one");
    clock.ms += 20_000;
    await expect(gate.enter("one", site("b"), never)).rejects.toMatchObject({
      reason: "VENDOR_CREDENTIALS_REJECTED",
      message: "site b: it gives no token; that was 20 s ago, and the same is not tried again for 40 s",
      metadata: { site: "b", vendor_code: "400" },
    });
  });

  it("shows another text at once, and keeps what it knows of the first", async () => {
    const { show } = make();
    await show("one");
    expect(await show("two", "accepted")).toBe("shown");
    expect(await show("one")).toContain("it gives no token");
    expect(await show("two", "accepted")).toBe("shown");
  });

  it("lets one show what is not known to be taken, and the others wait for what becomes of it", async () => {
    const { gate } = make();
    const first = await gate.enter("one", site("a"), never);
    let entered = 0;
    const others = Array.from({ length: 7 }, () =>
      gate.enter("one", site("a"), never).then(
        () => void entered++,
        () => {},
      ),
    );
    await new Promise(setImmediate);
    expect(entered).toBe(0);
    first.refused(refusal);
    await Promise.all(others);
    expect(entered).toBe(0);
  });

  it("lets everybody in once it is taken", async () => {
    const { gate, show } = make();
    await show("one", "accepted");
    const passes = await Promise.all(Array.from({ length: 3 }, () => gate.enter("one", site("a"), never)));
    passes[0]?.refused(refusal);
    passes[1]?.refused(refusal); // counts once
    passes[2]?.accepted(); // it was under way before
    expect(await show("one")).toContain("not tried again for 60 s");
  });

  it("answers from memory while somebody tries a refused one again", async () => {
    const { clock, gate, show } = make();
    await show("one");
    clock.ms += 60_000;
    const probe = await gate.enter("one", site("a"), never);
    expect(await show("one")).toContain("it gives no token");
    probe.leave();
    expect(await show("one", "accepted")).toBe("shown");
    expect(await show("one", "accepted")).toBe("shown");
  });

  it("lets the next one try where nothing became known", async () => {
    const { gate, show } = make();
    const first = await gate.enter("one", site("a"), never);
    const second = gate.enter("one", site("a"), never);
    first.leave();
    (await second).leave();
    expect(await show("one", "accepted")).toBe("shown");
  });

  it("ends the wait of whoever leaves", async () => {
    const { gate } = make();
    await gate.enter("one", site("a"), never);
    const leaving = new AbortController();
    const waiting = gate.enter("one", site("a"), leaving.signal);
    leaving.abort(new Error("gone"));
    await expect(waiting).rejects.toThrow("gone");
  });

  it("is one for each account and process", () => {
    const [one, other] = [{ monotonic: () => 0 }, { monotonic: () => 0 }];
    expect(credentialGate(one, "a")).toBe(credentialGate(one, "a"));
    expect(credentialGate(one, "a")).not.toBe(credentialGate(one, "b"));
    expect(credentialGate(one, "a")).not.toBe(credentialGate(other, "a"));
  });
});
