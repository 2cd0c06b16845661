/** A label selector as objects hold it (metav1.LabelSelector). */
export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>> | null;
  readonly matchExpressions?:
    | readonly { readonly key: string; readonly operator: string; readonly values?: readonly string[] | null }[]
    | null;
}

/** One condition on labels: the key, and what it has to be. */
interface Requirement {
  readonly key: string;
  readonly operator: string;
  readonly values: readonly string[];
}

const requirementsOf = ({ matchLabels, matchExpressions }: LabelSelector): Requirement[] => [
  ...Object.entries(matchLabels ?? {}).map(([key, value]) => ({ key, operator: "In", values: [value] })),
  ...(matchExpressions ?? []).map(({ key, operator, values }) => ({ key, operator, values: values ?? [] })),
];

/** A selector as a list takes it in `labelSelector`; undefined for one that has an operator of another version. */
export function formatSelector(selector: LabelSelector): string | undefined {
  const parts = requirementsOf(selector).map(({ key, operator, values }) => {
    switch (operator) {
      case "In":
        return `${key} in (${values.join(",")})`;
      case "NotIn":
        return `${key} notin (${values.join(",")})`;
      case "Exists":
        return key;
      case "DoesNotExist":
        return `!${key}`;
      default:
        return undefined;
    }
  });
  return parts.includes(undefined) ? undefined : parts.join(",");
}

/** Whether a selector chooses something with these labels. One without conditions chooses everything. */
export const selects = (selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean =>
  requirementsOf(selector).every(({ key, operator, values }) => {
    const value = labels[key];
    switch (operator) {
      case "In":
        return value !== undefined && values.includes(value);
      case "NotIn":
        return value === undefined || !values.includes(value);
      case "Exists":
        return value !== undefined;
      case "DoesNotExist":
        return value === undefined;
      default:
        return false;
    }
  });
