import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";

/** A folder of its own for one test; it is removed with what is in it. */
export interface Folder extends AsyncDisposable {
  readonly path: string;
  /** Writes a file that its owner alone can read and run; answers its path. */
  write(name: string, text: string): Promise<string>;
  /** Writes a kubeconfig with one cluster, one user and one context, `only`; answers its path. */
  kubeconfig(cluster: object, user?: object, name?: string): Promise<string>;
}

/** Makes a {@link Folder}. */
export async function temporaryFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), "restartd-test-"));
  const write = async (name: string, text: string) => {
    const file = join(path, name);
    await writeFile(file, text, { mode: 0o700 });
    return file;
  };
  return {
    path,
    write,
    kubeconfig: (cluster, user = {}, name = "kubeconfig") =>
      write(
        name,
        stringify({
          apiVersion: "v1",
          kind: "Config",
          "current-context": "only",
          clusters: [{ name: "only", cluster }],
          contexts: [{ name: "only", context: { cluster: "only", user: "only" } }],
          users: [{ name: "only", user }],
        }),
      ),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}
