/** Tests are TypeScript; tsx compiles them as they are loaded. Boot tests wait for emulators, so limits are generous. */
export default {
  files: ["test/**/*.test.ts"],
  extensions: { ts: "module" },
  nodeArguments: ["--import=tsx"],
  // Loaders given by --import do not reach worker threads.
  workerThreads: false,
  concurrency: 2,
  timeout: "10m",
};
