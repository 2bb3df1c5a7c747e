/** The named lists that policies look values up in. */
export interface ListLookup {
  /** undefined: there is no such list. */
  has(list: string, value: string): boolean | undefined;
}

type Answers = Record<string, Record<string, boolean>>;

/** Passes questions on and keeps the answers: what a decision records of the lists. */
export function recordingLookup(lists: ListLookup): ListLookup & { readonly answers: Readonly<Answers> } {
  // Names and values come from outside: no prototype, so that `__proto__` is one like any other.
  const answers: Answers = Object.create(null);
  return {
    answers,
    has: (list, value) => {
      const answer = lists.has(list, value);
      if (answer !== undefined) {
        answers[list] ??= Object.create(null);
        const ofList = answers[list];
        if (ofList !== undefined) ofList[value] = answer;
      }
      return answer;
    },
  };
}

/** Answers from what a decision recorded. A value that was not looked up then is as unknown as a list that was missing. */
export function recordedLookup(answers: Readonly<Record<string, Readonly<Record<string, boolean>>>>): ListLookup {
  return {
    has: (list, value) => {
      const ofList = Object.hasOwn(answers, list) ? answers[list] : undefined;
      return ofList !== undefined && Object.hasOwn(ofList, value) ? ofList[value] : undefined;
    },
  };
}
