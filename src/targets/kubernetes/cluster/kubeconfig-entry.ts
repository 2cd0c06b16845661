import { isLoopbackHost } from "../../../core/loopback.ts";
import type { Problem } from "../../../core/problem.ts";
import { quote } from "../../../core/show-value.ts";
import type { ExecConfig } from "./exec-plugin.ts";
import { isHeaderValue } from "./header-value.ts";
import type { KubeconfigEntry } from "./kubeconfig-file.ts";
import {
  entriesOf,
  fieldOf,
  flagOf,
  itemsOf,
  jsonOf,
  problemAt,
  problemIn,
  problemsOf,
  textIn,
  textOf,
  type Value,
} from "./kubeconfig-yaml.ts";
import type { OidcConfig } from "./oidc.ts";

/** Something in PEM: it stands in the kubeconfig, or in a file. `at` is where the kubeconfig speaks of it. */
export type Pem = { readonly at: Value } & ({ readonly text: string } | { readonly file: string });

/** How a user proves who it is, beside a client certificate. */
export type Proof =
  | { readonly kind: "none" }
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "token file"; readonly file: string; readonly at: Value }
  | { readonly kind: "password"; readonly username: string; readonly password: string }
  | { readonly kind: "exec"; readonly config: ExecConfig; readonly at: Value }
  | { readonly kind: "oidc"; readonly config: OidcConfig; readonly ca: Pem | undefined };

/** What a connection is made of: what one context's cluster and user say. Files are named and not read. */
export interface Entry {
  readonly server: string;
  /** Default: the system's authorities. */
  readonly ca: Pem | undefined;
  readonly serverName: string | undefined;
  readonly skipVerify: boolean;
  /** Default: what the environment says. */
  readonly proxyUrl: string | undefined;
  /** The cluster's extension for exec plugins. */
  readonly execExtension: unknown;
  readonly proof: Proof;
  readonly certificate: { readonly cert: Pem; readonly key: Pem } | undefined;
  /** Whom the user acts as, as headers say it. */
  readonly as: Readonly<Record<string, string | string[]>> | undefined;
}

/** What deserves a line of the report, or of the log. */
export interface Findings {
  readonly problems: Problem[];
  readonly warnings: Problem[];
}

/** The name of a cluster's extension that is told to exec plugins. */
const EXEC_EXTENSION = "client.authentication.k8s.io/exec";

/** Reads a context's cluster and user. Where there are problems, the result is to be judged further, but not to be used. */
export function readEntry({ cluster, user }: KubeconfigEntry, findings: Findings): Entry {
  const { problems } = findings;
  const about = problemsOf(problems, () => fieldOf(cluster, "cluster")) ?? cluster;
  const account = user && problemsOf(problems, () => fieldOf(user, "user"));
  const field = <Result>(look: () => Result): Result | undefined => problemsOf(problems, look);

  const server = field(() => readServer(cluster, about, problems)) ?? "";
  const ca = field(() => readPem(about, "certificate-authority", problems));
  const skipVerify = field(() => flagOf(about, "insecure-skip-tls-verify")) ?? false;
  if (skipVerify) {
    findings.warnings.push(
      problemIn(
        about,
        "insecure-skip-tls-verify",
        "is true: whoever answers in place of the API server gets our credentials",
      ),
    );
  }
  if (skipVerify && ca !== undefined) {
    const message = "is true beside an authority that certificates would be checked by: leave out one of them";
    problems.push(problemIn(about, "insecure-skip-tls-verify", message));
  }
  return {
    server,
    ca,
    skipVerify,
    serverName: field(() => textOf(about, "tls-server-name")) || undefined,
    proxyUrl: field(() => readProxy(about, problems)),
    execExtension: field(() => readExtension(about)),
    certificate: field(() => readCertificate(account, problems)),
    proof: field(() => readProof(account, problems)) ?? { kind: "none" },
    as: field(() => readActor(account, problems)),
  };
}

function readServer(cluster: Value, about: Value, problems: Problem[]): string | undefined {
  const server = textOf(about, "server");
  const wrong = server === "" ? "must be set to the address of the API server" : wrongAddress(server);
  if (wrong === undefined) return server.replace(/\/$/, "");
  problems.push(
    about === cluster ? problemAt(cluster, wrong, ["cluster", "server"]) : problemIn(about, "server", wrong),
  );
  return undefined;
}

function wrongAddress(server: string): string | undefined {
  const url = URL.parse(server);
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) {
    return `must be an https address, but is ${quote(server)}`;
  }
  if (url.protocol === "http:" && !isLoopbackHost(url.hostname)) {
    return `must be an https address (http only for 127.0.0.0/8, [::1] and localhost), but is ${quote(server)}`;
  }
  return url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== ""
    ? `must be an address with a path at most: no user, query or fragment, but is ${quote(server)}`
    : undefined;
}

function readProxy(about: Value, problems: Problem[]): string | undefined {
  const url = textOf(about, "proxy-url");
  if (url === "") return undefined;
  const wrong = wrongProxy(url);
  if (wrong !== undefined) problems.push(problemIn(about, "proxy-url", wrong));
  return url;
}

/** Why an address is none of a proxy that can be used, or undefined. */
export function wrongProxy(url: string): string | undefined {
  return /^(https?|socks5):$/.test(URL.parse(url)?.protocol ?? "")
    ? undefined
    : "must be the address of a proxy by http, https or socks5 (what it is instead is not shown: it may hold a password)";
}

function readExtension(about: Value): unknown {
  const found = itemsOf(fieldOf(about, "extensions")).find((item) => textOf(item, "name") === EXEC_EXTENSION);
  return jsonOf(fieldOf(found, "extension"));
}

/** Something in PEM by its two keys, of which one is allowed. */
function readPem(about: Value | undefined, key: string, problems: Problem[]): Pem | undefined {
  const inline = textOf(about, `${key}-data`);
  const file = textOf(about, key);
  const at = fieldOf(about, inline === "" ? key : `${key}-data`);
  if (at === undefined || (inline === "" && file === "")) return undefined;
  if (inline === "") return { at, file };
  const base64 = inline.replace(/[\r\n]/g, "");
  const isBase64 = base64.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(base64);
  if (file === "" && isBase64) return { at, text: Buffer.from(base64, "base64").toString("latin1") };
  const wrong = isBase64 ? `is said beside ${key}: leave out one of them` : "must be base64 (it is not shown)";
  problems.push(problemAt(at, wrong));
  return undefined;
}

function readCertificate(account: Value | undefined, problems: Problem[]): Entry["certificate"] {
  const cert = readPem(account, "client-certificate", problems);
  const key = readPem(account, "client-key", problems);
  if (cert === undefined) return undefined; // a key alone proves nothing, and client-go leaves it alone
  if (key !== undefined) return { cert, key };
  problems.push(problemAt(cert.at, "must have a client-key or client-key-data beside it"));
  return undefined;
}

/** Of several proofs, the one that client-go takes. */
function readProof(account: Value | undefined, problems: Problem[]): Proof {
  const token = textOf(account, "token");
  const file = textOf(account, "tokenFile");
  const [username, password] = [textOf(account, "username"), textOf(account, "password")];
  const exec = fieldOf(account, "exec");
  const provider = fieldOf(account, "auth-provider");
  if (account === undefined) return { kind: "none" };
  if (exec !== undefined && provider !== undefined) {
    problems.push(problemAt(provider, "is said beside exec: leave out one of them"));
  }
  if ((token !== "" || file !== "") && (username !== "" || password !== "")) {
    problems.push(problemAt(account, "has a token and a password: leave out one of them"));
  }
  if (file !== "") return { kind: "token file", file, at: fieldOf(account, "tokenFile") ?? account };
  if (token !== "") {
    const wrong = "must be a token: it has a line end, a blank at an end, or a letter that no header can hold";
    if (!isHeaderValue(token)) problems.push(problemIn(account, "token", wrong));
    return { kind: "token", token };
  }
  if (username !== "" || password !== "") return { kind: "password", username, password };
  if (provider !== undefined) return readProvider(provider, problems);
  const certified = textOf(account, "client-certificate") || textOf(account, "client-certificate-data");
  return exec === undefined || certified !== "" ? { kind: "none" } : readExec(exec, problems);
}

function readProvider(provider: Value, problems: Problem[]): Proof {
  const name = textOf(provider, "name");
  const config = fieldOf(provider, "config");
  if (name !== "oidc") {
    const gone = name === "gcp" || name === "azure" ? ", which kubectl has given up too: use an exec plugin" : "";
    problems.push(problemIn(provider, "name", `must be oidc, but is ${quote(name)}${gone}`));
    return { kind: "none" };
  }
  const text = (key: string): string => textOf(config, key);
  for (const key of ["idp-issuer-url", "client-id"]) {
    if (text(key) === "") problems.push(problemIn(config ?? provider, key, "must be set for oidc"));
  }
  if (text("id-token") === "" && text("refresh-token") === "") {
    problems.push(problemAt(config ?? provider, "must have an id-token or a refresh-token"));
  }
  return {
    kind: "oidc",
    ca: readPem(config, "idp-certificate-authority", problems),
    config: {
      issuer: text("idp-issuer-url"),
      clientId: text("client-id"),
      clientSecret: text("client-secret"),
      idToken: text("id-token"),
      refreshToken: text("refresh-token"),
    },
  };
}

const EXEC_VERSIONS = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

function readExec(exec: Value, problems: Problem[]): Proof {
  const command = textOf(exec, "command");
  const apiVersion = textOf(exec, "apiVersion") || EXEC_VERSIONS[0];
  const mode = textOf(exec, "interactiveMode");
  const wrong = (key: string, message: string): void => void problems.push(problemIn(exec, key, message));
  if (command === "") wrong("command", "must be set to the plugin's command");
  if (!EXEC_VERSIONS.includes(apiVersion ?? "")) {
    wrong("apiVersion", `must be ${EXEC_VERSIONS.join(" or ")}, but is ${quote(apiVersion ?? "")}`);
  }
  if (mode === "Always") {
    wrong("interactiveMode", "is Always: the plugin wants to ask somebody, and nobody is here");
  } else if (!["", "Never", "IfAvailable"].includes(mode)) {
    wrong("interactiveMode", `must be Never or IfAvailable, but is ${quote(mode)}`);
  }
  const env = itemsOf(fieldOf(exec, "env")).map((item) => {
    const name = textOf(item, "name");
    if (name === "" || name.includes("=")) problems.push(problemIn(item, "name", "must be the name of a variable"));
    return { name, value: textOf(item, "value") };
  });
  return {
    kind: "exec",
    at: exec,
    config: {
      apiVersion: apiVersion ?? "",
      command,
      args: itemsOf(fieldOf(exec, "args")).map(textIn),
      env,
      provideClusterInfo: flagOf(exec, "provideClusterInfo"),
      installHint: textOf(exec, "installHint"),
    },
  };
}

/** Whom the user acts as, as client-go says it in headers. */
function readActor(account: Value | undefined, problems: Problem[]): Entry["as"] {
  if (account === undefined) return undefined;
  const text = (value: Value): string => {
    const name = textIn(value);
    if (!isHeaderValue(name)) {
      problems.push(problemAt(value, "must be a name that a header can hold: ASCII letters, no blank at an end"));
    }
    return name;
  };
  const named = (key: string): string | undefined => {
    const field = fieldOf(account, key);
    return field === undefined || textIn(field) === "" ? undefined : text(field);
  };
  const listed = (value: Value | undefined): string[] => itemsOf(value).map(text);
  const user = named("as");
  const groups = listed(fieldOf(account, "as-groups"));
  const uid = named("as-uid");
  const extras = entriesOf(fieldOf(account, "as-user-extra")).flatMap(([key, value]): [string, string[]][] => {
    const values = listed(value);
    return values.length === 0 ? [] : [[`Impersonate-Extra-${escapeKey(key)}`, values]];
  });
  if (user === undefined) {
    const lone = { "as-groups": groups.length > 0, "as-uid": uid !== undefined, "as-user-extra": extras.length > 0 };
    for (const [key] of Object.entries(lone).filter(([, alone]) => alone)) {
      problems.push(problemIn(account, key, "must have as beside it: it is said of somebody to act as"));
    }
    return undefined;
  }
  return {
    "Impersonate-User": user,
    ...(groups.length > 0 && { "Impersonate-Group": groups }),
    ...(uid !== undefined && { "Impersonate-Uid": uid }),
    ...Object.fromEntries(extras),
  };
}

/** A key as client-go writes it into a header's name (transport/round_trippers.go). */
const escapeKey = (key: string): string =>
  [...Buffer.from(key)]
    .map((byte) => {
      const letter = String.fromCharCode(byte);
      const plain = byte < 0x80 && letter !== "%" && /[A-Za-z0-9!#$&'*+\-.^_`|~]/.test(letter);
      return plain ? letter : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
    })
    .join("");
