import { type CelInput, type CelValue, celUint, isCelList, isCelMap, isCelType, isCelUint } from '@bufbuild/cel';
import type { Decl } from '@bufbuild/cel-spec/cel/expr/checked_pb.js';
import type { SimpleTest } from '@bufbuild/cel-spec/cel/expr/conformance/test/simple_pb.js';
import type { MapValue, Value } from '@bufbuild/cel-spec/cel/expr/value_pb.js';
import { getConformanceSuite, type IncrementalTestSuite } from '@bufbuild/cel-spec/testdata/tests.js';
import { createRegistry, isMessage } from '@bufbuild/protobuf';
import { isReflectMessage } from '@bufbuild/protobuf/reflect';
import { anyUnpack, DurationSchema, TimestampSchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';
import { expressionEnvironment } from '../../src/policy/expression.ts';
import type { ExpressionType } from '../../src/policy/expressionTypes.ts';

/** The cases of the specification (cel-spec v0.25.1) that concern what our expressions offer. */

/** Parts of the language that are not offered, by suite or suite/section or suite/section/case, and why. */
const notOffered: Readonly<Record<string, string>> = {
  proto2: 'protobuf messages: policies see JSON',
  proto3: 'protobuf messages',
  proto2_ext: 'protobuf messages',
  enums: 'protobuf enums',
  wrappers: 'protobuf wrappers',
  dynamic: 'protobuf wrappers',
  'comparisons/eq_wrapper': 'protobuf wrappers',
  namespace: 'namespaces: every variable stands in the root',
  bindings_ext: 'an extension',
  block_ext: 'an extension',
  encoders_ext: 'an extension',
  math_ext: 'an extension',
  string_ext: 'an extension',
  macros2: 'an extension',
  optionals: 'an extension',
  type_deductions: 'the types that a checker with generics infers; ours knows lists, maps and dyn',

  'comparisons/eq_literal/eq_dyn_json_null': 'protobuf messages',
  'comparisons/eq_literal/not_eq_dyn_proto*': 'protobuf messages',
  'comparisons/ne_literal/ne_proto*': 'protobuf messages',
  'parse/struct_field_names': 'protobuf messages',
  'parse/nest/message_literal': 'protobuf messages',
  'parse/repeat/message_literal': 'protobuf messages',
  'parse/repeat/select': 'protobuf messages',
  'parse/whitespace': 'protobuf messages',
  'parse/comments': 'protobuf messages',
  'timestamps/timestamp_conversions/type_comparison': 'names of protobuf messages as values',
  'timestamps/duration_conversions/type_comparison': 'names of protobuf messages as values',
  'fields/qualified_identifier_resolution/qualified_ident*': 'variables with a point in their name',
  'fields/qualified_identifier_resolution/map_field_select': 'variables with a point in their name',
  'fields/qualified_identifier_resolution/ident_with_longest_prefix_check': 'variables with a point in their name',
  'fields/quoted_map_fields': 'fields in backquotes: written m["content-type"]',
  'basic/variables/unbound_is_runtime_error': 'refused before it is evaluated: a name that does not exist',
  'basic/functions/unbound_is_runtime_error': 'refused before it is evaluated: a function that does not exist',
  'parse/receiver_function_names': 'refused before it is evaluated: functions that do not exist',
  'logic/AND/short_circuit_type*': 'refused before it is evaluated: && of no bool',
  'logic/OR/short_circuit_type*': 'refused before it is evaluated: || of no bool',
  'fields/qualified_identifier_resolution/map_value_repeat_key_heterogeneous':
    'the library takes {0: 1, 0u: 2} for two keys',
};

const messages = createRegistry(TimestampSchema, DurationSchema);

interface Case {
  readonly name: string;
  readonly spec: SimpleTest;
}

function casesOf(suite: IncrementalTestSuite, path: readonly string[] = []): Case[] {
  return [
    ...suite.tests.map(({ original }) => ({ name: [...path, original.name].join('/'), spec: original })),
    ...suite.suites.flatMap((inner) => casesOf(inner, [...path, inner.name])),
  ];
}

const all = casesOf(getConformanceSuite());
const isUnder = (name: string, part: string): boolean =>
  part.endsWith('*') ? name.startsWith(part.slice(0, -1)) : `${name}/`.startsWith(`${part}/`);
const offered = all.filter(({ name }) => !Object.keys(notOffered).some((part) => isUnder(name, part)));

describe('CEL', () => {
  test.each(offered)('$name', ({ spec }) => {
    expect(outcomeOf(spec)).toEqual(expectedOf(spec));
  });
});

test('the cases are all there, and each part that is left out exists', () => {
  expect({ all: all.length, offered: offered.length }).toEqual({ all: 2344, offered: 1042 });
  for (const part of Object.keys(notOffered))
    expect(
      all.some(({ name }) => isUnder(name, part)),
      part,
    ).toBe(true);
});

function expectedOf({ resultMatcher }: SimpleTest): string {
  if (resultMatcher.case === 'evalError') return 'error';
  return resultMatcher.case === 'value' ? expectedValue(resultMatcher.value) : 'boolean true';
}

function outcomeOf({ expr, typeEnv, bindings }: SimpleTest): string {
  const variables = Object.fromEntries(typeEnv.map((declared) => [declared.name, typeOf(declared)]));
  const compiled = expressionEnvironment({ variables, result: 'dyn', mostCharacters: 100_000, mostNested: 200 })(expr);
  if ('problems' in compiled) return 'error';
  const values = Object.entries(bindings).map(([name, { kind }]) => [
    name,
    kind.case === 'value' ? inputOf(kind.value) : null,
  ]);
  const evaluated = compiled.evaluate(Object.fromEntries(values));
  return 'error' in evaluated ? 'error' : writtenResult(evaluated.value);
}

function typeOf({ declKind }: Decl): ExpressionType {
  const kind = declKind.case === 'ident' ? declKind.value.type?.typeKind.case : undefined;
  if (kind === 'listType') return 'list';
  return kind === 'mapType' ? 'map' : 'dyn';
}

/** A value of the specification as a binding. */
function inputOf({ kind }: Value): CelInput {
  if (kind.case === 'uint64Value') return celUint(kind.value);
  if (kind.case === 'nullValue') return null;
  if (kind.case === 'listValue') return kind.value.values.map(inputOf);
  if (kind.case === 'mapValue')
    return new Map(entriesOf(kind.value).map(([key, value]) => [keyOf(key), inputOf(value)]));
  if (kind.case === 'objectValue') {
    const message = anyUnpack(kind.value, messages);
    if (message !== undefined) return message;
  }
  if (kind.case === undefined || (typeof kind.value === 'object' && !(kind.value instanceof Uint8Array))) {
    throw new Error(`no binding is a ${kind.case}`);
  }
  return kind.case === 'enumValue' ? null : kind.value;
}

function entriesOf({ entries }: MapValue): [key: Value, value: Value][] {
  return entries.flatMap(({ key, value }) => (key === undefined || value === undefined ? [] : [[key, value]]));
}

function keyOf(key: Value): string | bigint | boolean {
  const value = inputOf(key);
  if (typeof value === 'string' || typeof value === 'bigint' || typeof value === 'boolean') return value;
  throw new Error('a key is a text, an int or a bool');
}

/** A value of the specification with its type, as text. */
function expectedValue({ kind }: Value): string {
  if (kind.case === 'typeValue') return `type ${kind.value}`;
  if (kind.case === 'listValue') return `[${kind.value.values.map(expectedValue).join()}]`;
  if (kind.case === 'mapValue') return mapText(entriesOf(kind.value).map((pair) => pair.map(expectedValue)));
  if (kind.case === 'objectValue') return messageText(anyUnpack(kind.value, messages));
  if (kind.case === 'uint64Value') return `uint ${kind.value}`;
  if (kind.case === 'nullValue') return 'null';
  if (kind.case === undefined || kind.case === 'enumValue') throw new Error(`no case expects a ${kind.case}`);
  return scalarText(kind.value);
}

function writtenResult(value: CelValue): string {
  if (value === null) return 'null';
  if (isCelUint(value)) return `uint ${value.value}`;
  if (isCelType(value)) return `type ${value.name}`;
  if (isCelList(value)) return `[${Array.from(value, writtenResult).join()}]`;
  if (isCelMap(value)) return mapText(Array.from(value, (pair) => pair.map(writtenResult)));
  if (isReflectMessage(value)) return messageText(value.message);
  return scalarText(value);
}

function scalarText(value: string | number | bigint | boolean | Uint8Array): string {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`;
  return Object.is(value, -0) ? 'number -0' : `${typeof value} ${value}`;
}

function mapText(entries: readonly (readonly string[])[]): string {
  return `{${entries
    .map((pair) => pair.join(': '))
    .toSorted()
    .join()}}`;
}

function messageText(message: unknown): string {
  if (isMessage(message, TimestampSchema)) return `time ${message.seconds} ${message.nanos}`;
  if (isMessage(message, DurationSchema)) return `duration ${message.seconds} ${message.nanos}`;
  throw new Error('the only messages are times and durations');
}
