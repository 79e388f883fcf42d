/** What a volume needs of a disk. */

export interface Disk {
  /** Bytes of a sector, which is written whole or not at all: a power of two from 512 to 4096. */
  readonly sectorBytes: number;
  readonly sectors: number;
  readonly readOnly: boolean;
  /** Fills `into`, whole sectors, from a sector on. @throws when the disk fails */
  read(sector: number, into: Uint8Array): void;
  /** Writes whole sectors; they may be lost, each for itself, until the next flush. @throws when the disk fails */
  write(sector: number, bytes: Uint8Array): void;
  /** What was written stays. @throws when the disk fails */
  flush(): void;
}
