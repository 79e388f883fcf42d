/** Records of the module's memory by the names of their fields, as drivers/unit-test-entry.ts exports them: class$field$bits. */

export type Fields = Record<string, { offset: number; bits: number }>;

/** Every record's fields, and sizes. */
export interface Layouts {
  fields: Record<string, Fields>;
  sizes: Record<string, number>;
}

export function layoutsOf(exports: WebAssembly.Exports): Layouts {
  const layouts: Layouts = { fields: {}, sizes: {} };
  for (const [name, value] of Object.entries(exports)) {
    if (!(value instanceof WebAssembly.Global)) continue;
    const [record, field, bits] = name.split("$");
    if (field === undefined) continue;
    if (field === "SIZE") layouts.sizes[record!] = Number(value.value);
    else (layouts.fields[record!] ??= {})[field] = { offset: Number(value.value), bits: Number(bits) };
  }
  return layouts;
}

/** One record in memory. */
export class Record_ {
  constructor(
    private readonly view: DataView,
    private readonly fields: Fields,
    readonly at: number,
  ) {}

  private field(name: string): { offset: number; bits: number } {
    const field = this.fields[name];
    if (field === undefined) throw new Error(`the entry exports no field ${name}`);
    return field;
  }

  /** A field as a number; 64-bit ones must be below 2^53. */
  get(name: string): number {
    const { offset, bits } = this.field(name);
    if (bits === 64) return Number(this.view.getBigUint64(this.at + offset, true));
    return bits === 32 ? this.view.getUint32(this.at + offset, true) : this.view.getUint16(this.at + offset, true);
  }

  set(values: Record<string, number | bigint>): this {
    for (const [name, value] of Object.entries(values)) {
      const { offset, bits } = this.field(name);
      if (bits === 64) this.view.setBigUint64(this.at + offset, BigInt(value), true);
      else if (bits === 32) this.view.setUint32(this.at + offset, Number(value), true);
      else this.view.setUint16(this.at + offset, Number(value), true);
    }
    return this;
  }
}
