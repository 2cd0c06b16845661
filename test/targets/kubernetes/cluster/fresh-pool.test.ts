import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const FRESH_POOL = join(import.meta.dirname, "../../../../src/targets/kubernetes/cluster/fresh-pool.ts");

/** A process in which a connection is destroyed while a stream on it has been ended and nobody listens to it any more. */
function destroyed(before: string) {
  const script = `
    ${before}
    import { once } from "node:events";
    import { connect, createServer } from "node:http2";
    const server = createServer().on("stream", (stream) => stream.on("error", () => {}).respond());
    server.on("sessionError", () => {});
    await once(server.listen(0, "127.0.0.1"), "listening");
    const session = connect("http://127.0.0.1:" + server.address().port).on("error", () => {});
    const stream = session.request();
    await once(stream, "response");
    stream.close(8);
    session.destroy(new Error("the cluster is closed"));
    await new Promise((closed) => stream.on("close", closed));
    console.log("goes on");
    process.exit();`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

describe("a connection that is destroyed", () => {
  it("ends no process by a stream that was ended before", () => {
    expect(destroyed(`import ${JSON.stringify(FRESH_POOL)};`)).toMatchObject({ status: 0, stdout: "goes on\n" });
  });

  it("would without what is done about it", () => {
    const { status, stderr } = destroyed("");
    expect(status).not.toBe(0);
    expect(stderr).toContain("the cluster is closed");
  });
});
