import { z } from 'zod';
import { identifier, json, text } from '../input/fields.ts';

/** Somebody on a list whom the customer may be. */
const candidateSchema = z.strictObject({
  /** Names the entry on the list, where the list does. */
  entryId: identifier.optional(),
  /** As it stands on the list. */
  name: text,
  /** 0 to 1: how much the customer looks like the entry. */
  score: z.number().min(0).max(1),
  /** Why, in words that a reviewer understands: "same name", "born in the same year". */
  reasons: z.array(text).max(50),
});

/** One search of one list. */
const screeningSchema = z.strictObject({
  /** Who searched: a company, or a program of your own. */
  provider: identifier,
  /** Which list. */
  list: identifier,
  /** The issue of the list, YYYY-MM-DD. */
  listDate: z.iso.date(),
  /** What was searched for. */
  query: z.strictObject({
    name: text,
    dateOfBirth: z.iso.date().optional(),
    /** ISO 3166-1. */
    country: z.string().min(2).max(3).optional(),
    /** Anything else that the search used. */
    other: z.record(z.string(), z.string()).optional(),
  }),
  /** The best first; empty: the list has nobody like that. */
  candidates: z.array(candidateSchema).max(200),
});

/** One screening or several; kept as a list. */
export const screeningResultsSchema = z.preprocess(
  (given) => (typeof given === 'object' && given !== null && !Array.isArray(given) ? [given] : given),
  z
    .array(screeningSchema)
    .min(1)
    .max(100)
    .refine((screenings) => json.safeParse(screenings).success, {
      error: 'is longer than 256 KiB or holds what cannot be stored',
      params: { code: 'not_storable' },
    }),
);
/** What a search of lists of persons found, so that a reviewer understands it without the program that searched. */
export type ScreeningResults = z.output<typeof screeningResultsSchema>;
