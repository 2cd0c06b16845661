import type { WorkloadObject } from "../workload/object.ts";
import { told } from "../workload/words.ts";

/** How something that writes an object again by its own idea marks it. Groups of a pattern are the name to tell. */
interface Mark {
  readonly who: string;
  readonly labels?: RegExp;
  readonly annotations?: RegExp;
  /** Managers of a server-side apply. */
  readonly managers?: RegExp;
  /** Label that names which one of them. */
  readonly named?: string;
}

/**
 * Who keeps its objects as it made them. Not here: Helm, which looks at an object again at the next upgrade alone, and Argo CD, which
 * leaves the annotation of a restart in place (its own restart action writes the same).
 */
const MARKS: readonly Mark[] = [
  // operator-lifecycle-manager pkg/lib/ownerutil/util.go
  { who: "OLM", labels: /^(olm\.owner|olm\.managed|operators\.coreos\.com\/.+)$/, named: "olm.owner" },
  // kustomize-controller, helm-controller: api/*/{kustomization,helmrelease}_types.go
  {
    who: "Flux (Kustomization)",
    labels: /^kustomize\.toolkit\.fluxcd\.io\/name$/,
    named: "kustomize.toolkit.fluxcd.io/name",
    managers: /^(flux|kustomize-controller)$/,
  },
  {
    who: "Flux (HelmRelease)",
    labels: /^helm\.toolkit\.fluxcd\.io\/name$/,
    named: "helm.toolkit.fluxcd.io/name",
    managers: /^helm-controller$/,
  },
  // kubernetes cluster/addons/addon-manager
  { who: "the addon manager", labels: /^addonmanager\.kubernetes\.io\/mode$/ },
  // openshift/cluster-version-operator docs/user/reconciliation.md
  { who: "OpenShift's cluster version operator", annotations: /^include\.release\.openshift\.io\// },
  // rancher/wrangler pkg/apply
  { who: "Rancher's apply", annotations: /^objectset\.rio\.cattle\.io\/id$/ },
  // Config Sync
  { who: "Config Sync", annotations: /^configmanagement\.gke\.io\/managed$/ },
];

/** Who owns an object and may take a restart of it back, in words; undefined where nothing shows that somebody does. */
export function managerOf({ metadata }: WorkloadObject): string | undefined {
  const { ownerReferences = [], labels = {}, annotations = {}, managedFields = [] } = metadata;
  // An owner need not be the one controller to make the object anew: OLM's and many operators' are not.
  const owner = ownerReferences.find(({ controller }) => controller) ?? ownerReferences[0];
  if (owner !== undefined) {
    return told(`${owner.kind} ${owner.name}`);
  }
  const has = (pattern: RegExp | undefined, keys: Readonly<Record<string, string>>): boolean =>
    pattern !== undefined && Object.keys(keys).some((key) => pattern.test(key));
  const mark = MARKS.find(
    ({ labels: label, annotations: annotation, managers }) =>
      has(label, labels) ||
      has(annotation, annotations) ||
      managedFields.some(
        // A subresource is a controller's own: its status, or an autoscaler's replicas.
        ({ operation, manager = "", subresource }) =>
          operation === "Apply" && subresource === undefined && managers?.test(manager),
      ),
  );
  const name = mark?.named === undefined ? undefined : labels[mark.named];
  return mark && told(name === undefined ? mark.who : `${mark.who} ${name}`);
}
