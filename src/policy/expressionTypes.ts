/** Types by CEL's own names; `dyn` is anything, and what is known only when the expression is evaluated. */
const typeNames = [
  'bool',
  'int',
  'uint',
  'double',
  'string',
  'bytes',
  'null_type',
  'list',
  'map',
  'type',
  'dyn',
  'google.protobuf.Timestamp',
  'google.protobuf.Duration',
] as const;
export type TypeName = (typeof typeNames)[number];

/** A record has exactly these fields: to name another one is a mistake. */
export interface RecordType {
  readonly fields: Readonly<Record<string, ExpressionType>>;
  /** Whether it is a value itself, as an element of a list is; of a variable only the fields are. */
  readonly isValue?: true;
}

/** A list whose elements all have one type. */
export interface ListType {
  readonly elements: ExpressionType;
}

/** `named_list`: values kept elsewhere, of which only `x in lists.name` can be asked. */
export type ExpressionType = TypeName | RecordType | ListType | 'named_list';

export function isRecord(type: ExpressionType | undefined): type is RecordType {
  return typeof type === 'object' && 'fields' in type;
}

export function typeNamed(name: string): TypeName {
  return typeNames.find((known) => known === name) ?? 'dyn';
}

export function nameOf(type: ExpressionType): string {
  if (typeof type === 'string') return type;
  return isRecord(type) ? 'map' : 'list';
}

export function elementsOf(type: ExpressionType): ExpressionType {
  if (typeof type === 'string' || !('elements' in type)) return 'dyn';
  return isRecord(type.elements) ? { ...type.elements, isValue: true } : type.elements;
}

export function fits(type: ExpressionType, wanted: string | undefined): boolean {
  return type === 'dyn' || wanted === 'dyn' || nameOf(type) === wanted;
}

const numbers: ReadonlySet<ExpressionType> = new Set<ExpressionType>(['int', 'uint', 'double']);

export function comparable(left: ExpressionType, right: ExpressionType): boolean {
  const mayBeNull = left === 'null_type' || right === 'null_type';
  return mayBeNull || fits(left, nameOf(right)) || right === 'dyn' || (numbers.has(left) && numbers.has(right));
}

/** Whether a comparison of the two would turn a whole number into a double. */
export function losesDigits(left: ExpressionType, right: ExpressionType): boolean {
  return left !== right && numbers.has(left) && numbers.has(right) && (left === 'double' || right === 'double');
}

export const constantTypes: Readonly<Record<string, TypeName>> = {
  nullValue: 'null_type',
  boolValue: 'bool',
  int64Value: 'int',
  uint64Value: 'uint',
  doubleValue: 'double',
  stringValue: 'string',
  bytesValue: 'bytes',
};
