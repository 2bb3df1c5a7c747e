import { type CelValue, isCelList, isCelMap, isCelType, isCelUint } from '@bufbuild/cel';
import { isMessage, toJson } from '@bufbuild/protobuf';
import { DurationSchema, TimestampSchema } from '@bufbuild/protobuf/wkt';
import type { Json } from '../database/schema.generated.ts';

/** Elements of a list or map that are shown. */
const MOST_SHOWN = 50;

/** A value of CEL as JSON, for people to read: whole numbers beyond 2^53 and bytes (base64) as text, times as RFC 3339. */
export function celJson(value: CelValue): Json {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (isCelList(value)) return [...value].slice(0, MOST_SHOWN).map(celJson);
  if (isCelMap(value)) {
    const entries = [...value].slice(0, MOST_SHOWN);
    return Object.fromEntries(
      entries.map(([key, element]) => [String(isCelUint(key) ? key.value : key), celJson(element)]),
    );
  }
  if (isCelUint(value)) return celJson(value.value);
  if (isCelType(value)) return value.name;
  const { message } = value;
  if (isMessage(message, TimestampSchema)) return toJson(TimestampSchema, message);
  return isMessage(message, DurationSchema) ? toJson(DurationSchema, message) : message.$typeName;
}
