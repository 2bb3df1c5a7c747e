import {
  chargedBackPurchase,
  completedPurchase,
  declinedPurchase,
  purchaseWithoutIdentity,
  undeliveredPurchase,
} from './buyTransaction.ts';
import { type Customer, newCustomer } from './customer.ts';
import { approvedIdentity, rejectedIdentity, unclearIdentity } from './identityCheck.ts';
import type { ProviderEvent, Source } from './providerEvent.ts';
import { completedSale, requotedSale } from './sellTransaction.ts';

interface Scenario {
  readonly about: string;
  readonly play: (source: Source, customer: Customer) => ProviderEvent[];
}

/** What MoonPay sends, as small stories of one customer each. */
const scenarios = {
  buy: { about: 'a purchase, from ordering to delivery', play: completedPurchase },
  buy_declined: { about: 'a card that is declined: the only event of it lacks the amounts', play: declinedPurchase },
  buy_rejected_kyc: { about: 'a purchase that fails for the identity of the customer', play: purchaseWithoutIdentity },
  buy_undelivered: {
    about: 'a purchase that was paid for and not delivered (stage four failed)',
    play: undeliveredPurchase,
  },
  sell: { about: 'a sale, from deposit to payout', play: completedSale },
  sell_requote: { about: 'a sale whose price has to be asked for again', play: requotedSale },
  identity_approved: { about: 'an identity check that is clear', play: approvedIdentity },
  identity_retry: { about: 'an identity check that is rejected, to be tried again', play: unclearIdentity },
  identity_rejected: { about: 'an identity check that is rejected for good', play: rejectedIdentity },
  chargeback: { about: 'a purchase whose payment is charged back', play: chargedBackPurchase },
  duplicates: {
    about: 'a purchase whose events all come twice',
    play: (source, customer) => completedPurchase(source, customer).flatMap((event) => [event, event]),
  },
  out_of_order: {
    about: 'a purchase whose last event overtakes the one before',
    play: (source, customer) => {
      const events = completedPurchase(source, customer);
      return [...events.slice(0, -2), ...events.slice(-2).toReversed()];
    },
  },
} as const satisfies Record<string, Scenario>;

export type ScenarioName = keyof typeof scenarios;

export const scenarioNames: readonly ScenarioName[] = Object.keys(scenarios).filter(isScenarioName);

function isScenarioName(name: string): name is ScenarioName {
  return Object.hasOwn(scenarios, name);
}

export function scenarioAbout(name: ScenarioName): string {
  return scenarios[name].about;
}

/** The events of one run of the scenario, with a customer, ids and times of its own, in the order they are sent. */
export function playScenario(name: ScenarioName, source: Source): ProviderEvent[] {
  return scenarios[name].play(source, newCustomer(source));
}
