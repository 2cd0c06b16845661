import { usePoll } from "../../api/poll.ts";
import { Known } from "../../parts/known.tsx";
import { Section } from "../../parts/page.tsx";
import { Table } from "../../parts/table.tsx";
import { urlOf } from "../../router.ts";
import { workloads } from "./client.ts";

/** The configured clusters. */
export function Clusters() {
  const polled = usePoll("clusters", {
    everyMs: 10_000,
    ask: (signal) => workloads.listClusters({ pageSize: 1000 }, { signal }),
  });
  return (
    <Section title="Kubernetes">
      <Known
        polled={polled}
        show={(answer) => (
          <Table
            name="Clusters"
            rows={answer?.clusters}
            nameOf={({ name }) => `clusters/${encodeURIComponent(name)}`}
            empty="No clusters."
            columns={[
              {
                title: "Cluster",
                share: 1.5,
                names: true,
                cell: ({ name }) => <a href={urlOf(`clusters/${encodeURIComponent(name)}`)}>{name}</a>,
              },
              {
                title: "Reachable",
                share: 1.8,
                cell: ({ reachable }) => (
                  <span class={`badge ${reachable ? "good" : "bad"}`}>
                    <span class="shape" aria-hidden="true">
                      {reachable ? "✓" : "✕"}
                    </span>
                    {reachable ? "reachable" : "not reachable"}
                  </span>
                ),
              },
              { title: "Version", share: 1.2, cell: ({ serverVersion }) => serverVersion || "–" },
            ]}
          />
        )}
      />
    </Section>
  );
}
