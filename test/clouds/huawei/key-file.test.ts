import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { KeyFileSettings } from "../../../src/clouds/huawei/config.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { startScene } from "./support.ts";

describe("a key in one file", () => {
  it("is used as a whole, and as it is now", async () => {
    await using folder = await temporaryFolder();
    const write = (key: object) => folder.write("hw.json", JSON.stringify(key));
    const file = await write({ access: "AK1", secret: "SK1", securitytoken: "T1" });
    await using scene = await startScene({
      account: {
        keys: [
          { accessKey: "AK1", secretKey: "SK1", securityToken: "T1" },
          { accessKey: "AK2", secretKey: "SK2", securityToken: "T2" },
          { accessKey: "AK3", secretKey: "SK3" },
        ],
      },
      credentials: (): KeyFileSettings => ({ kind: "key file", file: () => readFileSync(file, "utf8") }),
    });
    expect((await scene.send()).status).toBe(200);
    await write({
      credential: { access: "AK2", secret: "SK2", securitytoken: "T2", expires_at: "2026-11-30T18:00:00Z" },
    });
    expect((await scene.send()).status).toBe(200);
    await write({ access: "AK3", secret: "SK3", securitytoken: "" });
    expect((await scene.send()).status).toBe(200);
    expect(scene.service.requests.map(({ headers }) => headers["x-security-token"])).toEqual(["T1", "T2", undefined]);
  });

  it("sends nothing while the file is none, and shows nothing of it", async () => {
    await using folder = await temporaryFolder();
    const file = await folder.write("hw.json", '{"access": "AK1", "secret": "SK');
    await using scene = await startScene({
      credentials: (): KeyFileSettings => ({ kind: "key file", file: () => readFileSync(file, "utf8") }),
    });
    const failure = await scene.failure();
    expect(failure).toMatchObject({ reason: "VENDOR_CREDENTIALS_REJECTED", outcome: "not_applied" });
    expect(`${failure.message} ${String(failure.cause)}`).not.toMatch(/AK1|SK/);
    expect(scene.service.requests).toEqual([]);
  });
});
