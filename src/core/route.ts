import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, ServiceImpl } from "@connectrpc/connect";
import type { UniversalHandlerOptions } from "@connectrpc/connect/protocol";

/** A service and who serves it. */
export interface Route {
  /** The service. */
  readonly service: DescService;
  /** Whether its calls are answered while the server drains, when every other is refused with SHUTTING_DOWN. */
  readonly whileDraining: boolean;
  /** Names of its methods that anybody may call, whoever they are. */
  readonly forAnybody: readonly string[];
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

/** A service with its implementation: all of its methods, so that a method that nobody implements does not compile. */
export function route<Desc extends DescService>(
  service: Desc,
  implementation: ServiceImpl<Desc>,
  { whileDraining = false, forAnybody = [] }: Partial<Pick<Route, "whileDraining" | "forAnybody">> = {},
): Route {
  const part = (mutating: boolean): Desc => ({
    ...service,
    methods: service.methods.filter((method) => isMutating(method) === mutating),
  });
  return {
    service,
    whileDraining,
    forAnybody,
    register(router, { reads, mutations }) {
      router.service<Desc>(part(false), implementation, reads);
      router.service<Desc>(part(true), implementation, mutations);
    },
  };
}
