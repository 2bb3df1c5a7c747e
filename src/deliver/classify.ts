import type { ErrorClass } from './errorClass.ts';
import type { SendResult } from './send.ts';

export type FailureClass = ErrorClass | 'http_1xx' | 'http_3xx' | 'http_4xx' | 'http_410' | 'http_5xx' | 'http_other';

/** What one attempt means for its delivery and its endpoint. */
export type Outcome =
  | { readonly outcome: 'delivered' }
  | {
      readonly outcome: 'failed';
      readonly errorClass: FailureClass;
      /** The header as it came, when the status gives it a meaning (429, 503). */
      readonly retryAfter: string | undefined;
      /** 410 Gone: the receiver says that this endpoint will not come back. */
      readonly disablesEndpoint: boolean;
    };

/** Only 2xx is delivered; redirects are not followed and count as failures. */
export function classify(result: SendResult): Outcome {
  switch (result.kind) {
    case 'failure':
      return { outcome: 'failed', errorClass: result.errorClass, retryAfter: undefined, disablesEndpoint: false };
    case 'response': {
      const { status, retryAfter } = result;
      if (status >= 200 && status < 300) return { outcome: 'delivered' };
      return {
        outcome: 'failed',
        errorClass: classOfStatus(status),
        retryAfter: status === 429 || status === 503 ? retryAfter : undefined,
        disablesEndpoint: status === 410,
      };
    }
  }
}

function classOfStatus(status: number): FailureClass {
  if (status === 410) return 'http_410';
  switch (Math.floor(status / 100)) {
    case 1:
      return 'http_1xx';
    case 3:
      return 'http_3xx';
    case 4:
      return 'http_4xx';
    case 5:
      return 'http_5xx';
    default:
      return 'http_other';
  }
}
