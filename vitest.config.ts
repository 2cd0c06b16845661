import { defineConfig } from "vitest/config";

// biome-ignore lint/style/noDefaultExport: vitest wants one
export default defineConfig({
  test: {
    // What hangs is ended by these, and nothing else: what is slow on a busy machine is not wrong.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 60_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/chaos/**", "test/cluster/**", "test/console/**", "test/e2e/**", "**/node_modules/**"],
        },
      },
      {
        // One real control plane for all of its files, which share its two cores: one file at a time.
        extends: true,
        test: {
          name: "cluster",
          include: ["test/cluster/**/*.test.ts"],
          globalSetup: ["test/cluster/setup.ts"],
          fileParallelism: false,
        },
      },
      {
        // Clients that nobody here wrote, against the real program.
        extends: true,
        test: {
          name: "e2e",
          include: ["test/console/**/*.test.ts", "test/e2e/**/*.test.ts"],
          fileParallelism: false,
        },
      },
      {
        // Processes that are killed and stopped, for seconds at a time: nothing else is this slow.
        extends: true,
        test: { name: "chaos", include: ["test/chaos/**/*.test.ts"], fileParallelism: false, testTimeout: 180_000 },
      },
    ],
  },
});
