/** What a configuration file is read into. */
import type { DomainDescription } from "./description.ts";
import type { Problem } from "./problems.ts";

export interface ReadConfig {
  description: DomainDescription;
  /** What is accepted without effect, or taken otherwise than the file's own tool would; to be shown to the user. */
  notes: Problem[];
}
