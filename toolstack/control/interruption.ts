/** Raised by the user (Ctrl-C) while a command runs; a command that waits listens to it. */
export interface Interruption {
  readonly raised: boolean;
  /** Calls `listener` when it is raised, or now if it is. */
  onRaise(listener: () => void): void;
}
