/** Whether Xen's figures are measured, too: set by the command before any row is. */
export const comparison = { xen: true };
