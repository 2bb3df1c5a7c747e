import type { Selectable } from 'kysely';
import type { MoonpayCustomers } from '../database/schema.generated.ts';
import type { Environment } from '../observe/observation.ts';

export const kycLevels = ['none', 'basic', 'enhanced', 'premium'] as const;
export type KycLevel = (typeof kycLevels)[number];

export const verificationStatuses = ['pending', 'completed', 'failed'] as const;
export type VerificationStatus = (typeof verificationStatuses)[number];

/** A customer and the newest known state of their identity check, which events move forward. */
export interface Customer {
  readonly id: string;
  readonly moonpayCustomerId: string | null;
  readonly externalCustomerId: string | null;
  /** null for customers from before Moonguard. */
  readonly environment: Environment | null;
  readonly email: string | null;
  readonly firstName: string | null;
  readonly lastName: string | null;
  /** Yours. */
  readonly kycLevel: KycLevel;
  readonly identityVerificationStatus: VerificationStatus;
  /** MoonPay's check that the status comes from. */
  readonly kycCheckId: string | null;
  readonly kycResult: string | null;
  readonly kycRejectType: string | null;
  /** The level that MoonPay checked. */
  readonly kycCheckedLevel: number | null;
  /** When MoonPay said so. */
  readonly kycUpdatedAt: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Columns that constraints hold to a closed list, for a query's `$narrowType`. */
export interface CustomerWords {
  environment: Environment | null;
  kyc_level: KycLevel;
  identity_verification_status: VerificationStatus;
}

export type CustomerRow = Omit<Selectable<MoonpayCustomers>, keyof CustomerWords> & CustomerWords;

/** The row as the rest of the program sees it. */
export function decodeCustomer(row: CustomerRow): Customer {
  return {
    id: row.id,
    moonpayCustomerId: row.moonpay_customer_id,
    externalCustomerId: row.external_customer_id,
    environment: row.environment,
    email: row.email,
    firstName: row.first_name,
    lastName: row.last_name,
    kycLevel: row.kyc_level,
    identityVerificationStatus: row.identity_verification_status,
    kycCheckId: row.kyc_check_id,
    kycResult: row.kyc_result,
    kycRejectType: row.kyc_reject_type,
    kycCheckedLevel: row.kyc_checked_level,
    kycUpdatedAt: row.kyc_updated_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
