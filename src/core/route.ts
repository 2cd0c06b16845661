import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, ServiceImpl } from "@connectrpc/connect";
import type { UniversalHandlerOptions } from "@connectrpc/connect/protocol";
import { accessOf, type MethodAccess } from "./access.ts";

/** A service and who serves it. */
export interface Route {
  /** The service. */
  readonly service: DescService;
  /** Whether its calls are answered while the server drains, when every other is refused with SHUTTING_DOWN. */
  readonly whileDraining: boolean;
  /** Whether its methods for anybody are answered whatever name the caller uses for this server: probes use an address. */
  readonly anyHost: boolean;
  /** Who may call each of its methods, by the method's name. */
  readonly access: ReadonlyMap<string, MethodAccess>;
  /** Registers every method of the service: those without side effects with the options of reads, all others with those of mutations. */
  register(router: ConnectRouter, options: RouteOptions): void;
}

/** Options of connect for both kinds of methods. */
export interface RouteOptions {
  readonly reads: Partial<UniversalHandlerOptions>;
  readonly mutations: Partial<UniversalHandlerOptions>;
}

/** Whether a method may change something: whatever its schema does not call free of side effects. */
export const isMutating = (method: DescMethod): boolean =>
  method.idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;

/**
 * A service of ours with its implementation: all of its methods, so that a method that nobody implements does not compile.
 *
 * @throws Error when a method's schema does not say who may call it.
 */
export const route = <Desc extends DescService>(
  service: Desc,
  implementation: ServiceImpl<Desc>,
  options: RouteSettings = {},
): Route => routeOf(service, implementation, accessOfAll(service), options);

/**
 * A published service with its implementation.
 *
 * @param access who may call each of its methods, all of them: its schema is not ours to say it.
 */
export const publishedRoute = <Desc extends DescService>(
  service: Desc,
  implementation: ServiceImpl<Desc>,
  access: Readonly<Record<keyof Desc["method"], MethodAccess>>,
  options: RouteSettings = {},
): Route => {
  const rows = new Map(Object.entries<MethodAccess>(access));
  const rowsByName = new Map(
    service.methods.flatMap(({ name, localName }) => {
      const row = rows.get(localName);
      return row === undefined ? [] : [[name, row] as const];
    }),
  );
  return routeOf(service, implementation, rowsByName, options);
};

/** What a {@link Route} may be told beside its service. */
type RouteSettings = Partial<Pick<Route, "whileDraining" | "anyHost">>;

function accessOfAll(service: DescService): ReadonlyMap<string, MethodAccess> {
  return new Map(
    service.methods.map((method) => {
      const access = accessOf(method);
      if (access === undefined) {
        throw new Error(
          `${service.typeName}/${method.name} does not say who may call it: add option (restart.options.v1.access) to it in the .proto`,
        );
      }
      return [method.name, access];
    }),
  );
}

function routeOf<Desc extends DescService>(
  service: Desc,
  implementation: ServiceImpl<Desc>,
  access: ReadonlyMap<string, MethodAccess>,
  { whileDraining = false, anyHost = false }: RouteSettings,
): Route {
  const part = (mutating: boolean): Desc => ({
    ...service,
    methods: service.methods.filter((method) => isMutating(method) === mutating),
  });
  return {
    service,
    whileDraining,
    anyHost,
    access,
    register(router, { reads, mutations }) {
      router.service<Desc>(part(false), implementation, reads);
      router.service<Desc>(part(true), implementation, mutations);
    },
  };
}
