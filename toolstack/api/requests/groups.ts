/** What the first word of requests of two words stands for: `vif list`. */
export const GROUPS = {
  bridge: "the bridges that vifs are on",
  vif: "domains' network interfaces",
  disk: "the machine's disks, on which volumes and partitions are",
  volume: "named disks for guests, in a store on one of the machine's disks",
  vbd: "domains' disks",
  image: "kernels and ramdisks that were uploaded",
} as const;
export type Group = keyof typeof GROUPS;
