import type { ParquetQueryFilter } from 'hyparquet';
import {
  type AsyncBuffer,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  type SchemaElement,
} from 'hyparquet';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import { MoonguardError } from '../errors.ts';
import type { ColumnToWrite } from './columns.ts';

/** Where the bytes of a file go, in order. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
}

/** A Parquet file that is written one row group after the other: it may be larger than the memory. */
export class ParquetFile {
  readonly #sink: ByteSink;
  readonly #bytes = new ByteWriter(1 << 20);
  readonly #writer: ParquetWriter;

  constructor(sink: ByteSink, schema: SchemaElement[]) {
    this.#sink = sink;
    this.#writer = new ParquetWriter({ writer: this.#bytes, schema, createdBy: 'Moonguard' });
  }

  async writeGroup(columnData: ColumnToWrite[]): Promise<void> {
    const rows = columnData[0]?.data.length ?? 0;
    if (rows > 0) await this.#writer.write({ columnData, rowGroupSize: rows });
    await this.#flush();
  }

  async finish(): Promise<void> {
    await this.#writer.finish();
    await this.#flush();
  }

  async #flush(): Promise<void> {
    await this.#sink.write(this.#bytes.getBytes());
    this.#bytes.index = 0;
  }
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** What the reader would otherwise make of texts (without their byte order mark) and of times (of milliseconds). */
const exactly = {
  stringFromBytes: (bytes: Uint8Array | undefined) => bytes && utf8.decode(bytes),
  timestampFromMicroseconds: (microseconds: bigint) => microseconds,
};

export type FileRow = Readonly<Record<string, unknown>>;

export interface GroupQuery {
  readonly columns?: string[];
  readonly filter?: ParquetQueryFilter;
}

/** A Parquet file that is read one row group after the other. */
export class ReadableParquet {
  readonly #file: AsyncBuffer;
  readonly #metadata: FileMetaData;
  readonly #starts: readonly number[];

  private constructor(file: AsyncBuffer, metadata: FileMetaData) {
    let rows = 0;
    this.#file = file;
    this.#metadata = metadata;
    this.#starts = [0, ...metadata.row_groups.map(({ num_rows }) => (rows += Number(num_rows)))];
  }

  /** @throws MoonguardError archive_unreadable */
  static async open(file: AsyncBuffer): Promise<ReadableParquet> {
    return new ReadableParquet(file, await readable(() => parquetMetadataAsync(file, { parsers: exactly })));
  }

  get groups(): number {
    return this.#metadata.row_groups.length;
  }

  /** How many rows the groups before this one have. */
  startOf(group: number): number {
    return this.#starts[group] ?? 0;
  }

  /** @throws MoonguardError archive_unreadable */
  async readGroup(group: number, query: GroupQuery = {}): Promise<FileRow[]> {
    return readable(() =>
      parquetReadObjects({
        ...query,
        file: this.#file,
        metadata: this.#metadata,
        rowStart: this.startOf(group),
        rowEnd: this.startOf(group + 1),
        parsers: exactly,
        utf8: false,
        useBloomFilters: true,
      }),
    );
  }

  async *rows(): AsyncGenerator<FileRow> {
    for (let group = 0; group < this.groups; group++) yield* await this.readGroup(group);
  }
}

async function readable<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof MoonguardError) throw error;
    throw new MoonguardError('archive_unreadable', 'It is no Parquet file, or a damaged one.', { cause: error });
  }
}
